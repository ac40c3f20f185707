"""Puts a page that runs each artifact of `artifacts/` in the browser into the site: `python tools/demos.py _docs`, a part of `make docs`.

The runtime comes from npm packages with known checksums. Where they can't be had, the site has no live demo."""
import sys
from links import ROOT

def main(site):
    from hkd.files import HKDError
    from hkd.web import export_web
    for artifact in sorted((ROOT/'artifacts').glob('*/manifest.json')):
        name = artifact.parent.name
        try: made = export_web(artifact.parent, ROOT/site/'demo'/name)
        except HKDError as e: return print(f'no live demo of {name}: {e}')
        print(f"live demo of {name}: {made['bytes']/1e6:.1f} MB")

if __name__=='__main__': main(sys.argv[1])
