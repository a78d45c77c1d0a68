"""Figures: a result and an ``ax`` in, the ``ax`` out. The only place that knows matplotlib and seaborn."""
