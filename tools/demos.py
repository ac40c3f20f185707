"""Puts a page that runs each artifact of `artifacts/` in the browser into the site, and a button that opens it on the pages that ask for one: `python tools/demos.py _docs [RUNTIME]`, a part of `make docs`.

A page asks with `<!-- live demo: NAME -->`. The runtime comes from npm packages with known checksums, or from the folder RUNTIME that holds them. Where they can't be had, the site has no live demo, and no button.
"""
import sys
from pathlib import Path
from links import ROOT

def button(name, size, up):
    "Nothing is loaded before the click"
    frame = f"<iframe src='{up}demo/{name}/index.html' title='{name}, running in this browser' style='width:100%;height:22em;border:1px solid gray'></iframe>"
    return f'<p><button type="button" class="btn btn-primary" onclick="this.outerHTML=&quot;{frame}&quot;">Run it in this browser ({size/1e6:.0f} MB)</button></p>'

def main(site, runtime=None):
    from hkd.files import HKDError
    from hkd.web import export_web
    site = ROOT/site
    pages = [p for p in site.rglob('*.html') if 'demo' not in p.relative_to(site).parts]
    for artifact in sorted((ROOT/'artifacts').glob('*/manifest.json')):
        name = artifact.parent.name
        try: made = export_web(artifact.parent, site/'demo'/name, runtime=runtime and Path(runtime))
        except HKDError as e: return print(f'no live demo of {name}: {e}')
        asked = f'<!-- live demo: {name} -->'
        for page in pages:
            text = page.read_text(encoding='utf-8')
            up = '../'*(len(page.relative_to(site).parts)-1)
            if asked in text: page.write_text(text.replace(asked, button(name, made['bytes'], up)), encoding='utf-8')
        print(f"live demo of {name}: {made['bytes']/1e6:.1f} MB")

if __name__=='__main__': main(*sys.argv[1:])
