"""The engine's weights: catalogue of the official files, layouts, strict loading, checking and conversion.

What the command line and a service's parent read (this module, ``catalogue.json``) is free of torch.
"""
