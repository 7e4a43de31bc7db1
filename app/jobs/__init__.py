"""Training jobs, which are followed, stopped and resumed, and outlive the death of a process."""
