"""Autoscaling by lag: KEDA's and the HPA's rules as a calculator, a simulated day, and a demo with real replicas."""
