"""Kernel isolation (arXiv 2108.11054): the image that keeps one kernel's map while every other kernel goes quiet."""

from .point import Point, Tap, feature_point, find_point

__all__ = ["Point", "Tap", "feature_point", "find_point"]
