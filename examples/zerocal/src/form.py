"""The page for people: a form that makes the link."""

from html import escape

FIELDS = (
    ("title", "Title", "Dinner at Luigi's"),
    ("start", "Start", "24 Dec 2026 18:00"),
    ("duration", "Duration", "1h 30m"),
    ("timezone", "Time zone", "Europe/Berlin"),
    ("location", "Place", "Via Roma 1"),
    ("description", "Notes", ""),
    ("recurrence", "Repeats", "every 2 weeks 10 times"),
)

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 30rem; margin: 2rem auto; padding: 0 1rem; color-scheme: light dark }
label { display: block; margin: .8rem 0; color: #777; font-size: .9rem }
input { display: block; width: 100%; box-sizing: border-box; font: inherit; padding: .45rem .6rem; border: 1px solid #8886; border-radius: .4rem }
button { font: inherit; padding: .6rem 1.4rem; border: 0; border-radius: .4rem; background: #2f6fde; color: #fff }
.problem { color: #c33 } code { background: #8882; padding: .1rem .3rem; border-radius: .2rem }
"""


def page(values=None, problem=""):
    """The form, filled with what was sent, and what was wrong with it."""
    values = values or {}
    rows = "".join(
        f'<label>{label}<input name="{name}" value="{escape(values.get(name, ""))}" placeholder="{escape(hint)}"'
        f"{' required' if name == 'start' else ''}></label>"
        for name, label, hint in FIELDS
    )
    wrong = f'<p class="problem" role="alert">{escape(problem)}</p>' if problem else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>zerocal</title><style>{STYLE}</style></head><body>
<h1>zerocal</h1>
<p>A calendar without a database: the event is in the link. Copy it after <code>?</code> into a mail, or download the file.</p>
{wrong}<form method="get">{rows}<button>Get the calendar file</button></form>
</body></html>"""
