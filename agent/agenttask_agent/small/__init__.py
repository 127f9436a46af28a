"""Driving a small model: bounded questions, code in fences, checks that decide."""
