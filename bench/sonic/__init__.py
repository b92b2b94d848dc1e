"""The sonic engine, timed with random weights of the real size; the tiny sizes stand in where there is no GPU."""
