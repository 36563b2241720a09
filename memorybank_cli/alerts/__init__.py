"""Alerts: findings on their way to people."""
