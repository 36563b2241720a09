"""What people see of each report."""
