"""Losses that objectives are made of: functions of tensors, or of views and batch."""
