"""Networks made ready to run and to be trained, on the device that there is."""
