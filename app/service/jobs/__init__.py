"""Training jobs: started, followed, stopped and resumed, whatever process dies meanwhile."""
