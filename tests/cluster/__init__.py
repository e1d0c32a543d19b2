"""Deployment on a real Kubernetes."""
