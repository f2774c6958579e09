# SPDX-License-Identifier: MIT
"""Plots as SVG, by gnuplot."""
import subprocess

COLOURS = {
    "unishm sysv": "#1f5fa8",
    "unishm posix": "#d1661b",
    "raw sysv": "#9bbbe0",
    "raw posix": "#f2bd92",
}
HEAD = """set terminal svg size {width},{height} font "sans-serif,13" background rgb "white"
set output "{file}"
set title "{title}"
set border 3 lc rgb "#666666"
set tics nomirror
set grid y lc rgb "#dddddd"
"""


def run(script):
    subprocess.run(["gnuplot"], input=script, text=True, check=True)


def lines(file, title, x_label, y_label, series, y_log=True, x_text=str):
    """@series: name -> list of (x, y); the x axis is logarithmic."""
    script = HEAD.format(file=file, title=title, width=760, height=440)
    script += f'set xlabel "{x_label}"\nset ylabel "{y_label}"\nset logscale x\n'
    script += "set logscale y\n" if y_log else "set yrange [0:*]\n"
    script += "set key outside right top\n"
    marks = sorted({x for points in series.values() for x, _ in points})
    script += "set xtics (" + ", ".join(f'"{x_text(x)}" {x}' for x in marks) + ")\n"
    plots, data = [], ""
    for name, points in series.items():
        width = 2 if name.startswith("raw") else 3
        colour = COLOURS.get(name, "#777777")
        plots.append(
            f"'-' with linespoints pt 7 ps 0.6 lw {width} lc rgb '{colour}' title '{name}'"
        )
        data += "".join(f"{x} {y}\n" for x, y in points) + "e\n"
    run(script + "plot " + ", ".join(plots) + "\n" + data)


def bars(file, title, y_label, rows, y_log=True, mark=1):
    """@rows: (label, value, is it ours); lying bars, the first on top."""
    rows = list(reversed(rows))
    script = HEAD.format(file=file, title=title, width=760, height=90 + 24 * len(rows))
    script += "unset key\nset grid noy\nset grid x lc rgb '#dddddd'\nset style fill solid\n"
    script += f'set xlabel "{y_label}"\nset yrange [-0.6:{len(rows) - 0.4}]\n'
    low = min([value for _, value, _ in rows] + [1]) * 0.8
    high = max(value for _, value, _ in rows) * 1.35
    if y_log:
        script += f"set logscale x\nset xrange [{min(low, 0.7)}:{high}]\n"
        script += "set xtics (0.5, 0.7, 1, 1.5, 2, 3, 5, 10, 20, 50)\n"
    else:
        low = 0
        script += f"set xrange [0:{high}]\n"
    names = ", ".join(f'"{label}" {i}' for i, (label, _, _) in enumerate(rows))
    script += f"set ytics ({names})\n"
    if mark is not None:
        script += (
            f"set arrow from {mark}, graph 0 to {mark}, graph 1 nohead lc rgb '#666666' front\n"
        )
    start = mark if mark is not None else low
    for i, (_, value, ours) in enumerate(rows):
        colour = "#1f5fa8" if ours else "#b8b8b8"
        left, right = sorted((start, value))
        script += (
            f"set object rectangle from {left},{i - 0.35} to {right},{i + 0.35} "
            f"fc rgb '{colour}' fs solid noborder\n"
        )
        script += f"set label '{value:.2f}' at {max(right, start)},{i} offset 0.6,0\n"
    run(script + f"plot -10 notitle\n")
