"""Plots as SVG."""


def write_plots(report, folder):
    folder.mkdir(parents=True, exist_ok=True)
