"""The empty page of a report: its frame and its style."""

__all__ = ["PAGE"]

STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfa; --panel: #fff; --ink: #22252b; --quiet: #666c76;
  --line: #dcdfe4; --accent: #0b6e75; --tint: #e7f3f3; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171b; --panel: #1c1f24; --ink: #e6e8eb; --quiet: #9aa1ab;
  --line: #383d45; --accent: #5cc8cf; --tint: #1d3337; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Noto Sans CJK SC", sans-serif; }
h1 { font-size: clamp(1.5rem, 5vw, 2.2rem); line-height: 1.2; margin: 1rem 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .8rem; }
h3 { font-size: 1rem; margin: 0 0 .4rem; overflow-wrap: anywhere; }
.verdict { font-size: 1.08rem; padding: .9rem 1.1rem; background: var(--tint); border-left: 4px solid var(--accent);
  border-radius: 4px; margin: 0; overflow-wrap: anywhere; }
.note { color: var(--quiet); font-size: .86rem; max-width: 46rem; }
.wide { overflow-x: auto; background: var(--panel); border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; font-variant-numeric: tabular-nums; }
th, td { padding: .5rem .8rem; text-align: right; white-space: nowrap; vertical-align: top; }
thead th { color: var(--quiet); font-weight: 600; border-bottom: 1px solid var(--line); }
tbody tr + tr > * { border-top: 1px solid var(--line); }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--panel); font-weight: 600;
  max-width: 16rem; white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
td small { display: block; color: var(--quiet); font-size: .76rem; }
td.best { color: var(--accent); font-weight: 700; }
td.best small { font-weight: 400; }
details { margin-top: .8rem; }
summary { cursor: pointer; color: var(--quiet); margin-bottom: .5rem; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; flex: 1 1 20rem; max-width: 34rem; min-width: 0; padding: .8rem; background: var(--panel);
  border: 1px solid var(--line); border-radius: 6px; }
figure svg { display: block; width: 100%; height: auto; }
.slate { background: var(--panel); border: 1px solid var(--line); border-radius: 6px; padding: .9rem 1.1rem;
  margin-bottom: .8rem; overflow-wrap: anywhere; }
.slate ol { margin: 0; padding-left: 1.4rem; }
.slate small { color: var(--quiet); }
.slate p { margin: .1rem 0 .4rem; font-size: .88rem; color: var(--quiet); }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .25rem 1.2rem; margin: 0;
  font-size: .92rem; }
dt { color: var(--quiet); }
dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
dd ul { margin: 0; padding-left: 1.1rem; }
@media (max-width: 34rem) { th, td { padding: .45rem .55rem; } th:first-child { max-width: 9rem; min-width: 7rem; }
  dl { grid-template-columns: 1fr; gap: 0; } dd { margin: 0 0 .5rem .8rem; } }
"""

PAGE = (
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>"""
    + STYLE.replace("{", "{{").replace("}", "}}")
    + """</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="verdict">{verdict}</p>
{sections}</main>
</body>
</html>
"""
)
"""A format string with `title`, `verdict` and `sections`."""
