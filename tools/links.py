"Owner and repository name stand in settings.ini alone; `%(git_url)s` and its like in a notebook's prose are filled in from there"
import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

def settings():
    "The settings, with `%(user)s` and its like resolved"
    config = ConfigParser()
    config.read(ROOT/'settings.ini', encoding='utf-8')
    return dict(config['DEFAULT'])

def fill(text, cfg=None):
    "`text` with each `%(key)s` that settings.ini knows replaced by its value"
    cfg = cfg or settings()
    return re.sub(r'%\((\w+)\)s', lambda m: cfg.get(m[1], m[0]), text)

def fill_cell(cell):
    "nbdev calls this for each cell of a page (`procs` in settings.ini)"
    if cell.cell_type=='markdown' and cell.source: cell.source = fill(cell.source)
