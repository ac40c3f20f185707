"""What a page of the site gets that its notebook lacks: nbdev calls the `procs` of settings.ini for each.

- Owner and repository name stand in settings.ini alone; `%(git_url)s` and its like are filled in from there.
- A name in backticks becomes a link to the page that documents it, in prose, never in a code block.
- A definition is shown once, with its source folded below.
- The Colab badge stays a link: quarto's lightbox takes the link from a picture in markdown."""
import ast, json, re
from collections import defaultdict
from configparser import ConfigParser
from functools import cache
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
    "Owner and repository name in a page's prose"
    if cell.cell_type=='markdown' and cell.source: cell.source = fill(cell.source)

# --- the badge ---

BADGE = re.compile(r'\[!\[(Open in Colab)\]\((\S+?)\)\]\((\S+?)\)')

def link_badge(cell):
    "The Colab badge as html, which quarto leaves as it is"
    if cell.cell_type!='markdown' or not cell.source: return
    cell.source = BADGE.sub(r'<a href="\3"><img src="\2" alt="\1"></a>', cell.source)

# --- names ---

EXPORTED = {'export','exports'}
DEFINITIONS = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef

def directives(src): return {d.split()[0] for d in re.findall(r'^#\s*\|\s*(\S.*)$', src, re.M)}
def page_of(notebook): return re.sub(r'^\d+[a-zA-Z0-9]*_', '', Path(notebook).stem.lower())+'.html'
def public(node): return isinstance(node, DEFINITIONS) and not node.name.startswith('_')

def definitions(src):
    "The public classes and functions of a cell, as nbdev documents them"
    return [node for node in ast.parse(re.sub(r'^[!%].*$', '', src, flags=re.M)).body if public(node)]

def documented(notebook):
    "Each public name that a notebook's page documents, with its anchor; a method has that of its class"
    for c in json.loads(Path(notebook).read_text(encoding='utf-8'))['cells']:
        src, flags = ''.join(c['source']), directives(''.join(c['source']))
        if c['cell_type']!='code' or 'hide' in flags or not flags & EXPORTED: continue
        for node in definitions(src):
            yield node.name, node.name.lower()
            methods = filter(public, node.body) if isinstance(node, ast.ClassDef) else ()
            yield from ((f'{node.name}.{method.name}', node.name.lower()) for method in methods)

@cache
def names():
    "The places (page, anchor) that document each name; also under its module, as in `training.distill`"
    lib, places = settings()['lib_name'], defaultdict(list)
    for notebook in sorted((ROOT/settings()['nbs_path']).glob('[!_.]*.ipynb')):
        page = page_of(notebook)
        module = page.removesuffix('.html')
        for name,anchor in documented(notebook):
            for n in (name, f'{module}.{name}', f'{lib}.{module}.{name}'): places[n].append((page, anchor))
    return dict(places)

def place(name, page):
    "Where a name is documented, for a reader of `page`: there, or on the only page that has it, else None"
    places = names().get(name, [])
    here = [p for p in places if p[0]==page]
    return (here or places)[0] if here or len(places)==1 else None

LINK_OR_NAME = re.compile(r'!?\[(?:[^\[\]]|\[[^\]]*\])*\]\([^)]*\)|(?<!`)`([^`\s]+?)(\(\))?`(?!`)')

def link_text(text, target):
    "Markdown with each name in backticks linked to `target(name)`; links, headings and code blocks stay"
    def link(m):
        url = m[1] and target(m[1])
        return f'[{m[0]}]({url})' if url else m[0]
    lines, fenced = text.split('\n'), False
    for i,line in enumerate(lines):
        if line.lstrip().startswith(('```','~~~')): fenced = not fenced
        elif not fenced and not line.startswith(('    ','#')): lines[i] = LINK_OR_NAME.sub(link, line)
    return '\n'.join(lines)

def markdown_outputs(cell):
    "The outputs of a cell that are markdown"
    return [out['data'] for out in cell.get('outputs', []) if out.get('data', {}).get('text/markdown')]

class LinkNames:
    "nbdev's `add_links`, but no link in code, to a private name, or to one of two functions of one name"
    def __init__(self, nb):
        path = Path(nb.path_)
        self.page = page_of(path)
        self.level = '../'*(len(path.parent.resolve().relative_to(ROOT).parts)-1)

    def target(self, name):
        found = place(name, self.page)
        return found and f'{self.level}{found[0]}#{found[1]}'

    def __call__(self, cell):
        if cell.cell_type=='markdown': cell.source = link_text(cell.source, self.target)
        for data in markdown_outputs(cell):
            data['text/markdown'] = link_text(''.join(data['text/markdown']), self.target).splitlines(True)

# --- exported source ---

FOLDED = '#| code-fold: true\n#| code-summary: "Exported source"\n'

class FoldSource:
    "nbdev's `add_fold` and `mv_exports`, but folded, and the definitions of a cell in the order written"
    def __init__(self, nb):
        self.nb = nb
        exported = [c.source for c in nb.cells if c.cell_type=='code' and EXPORTED & c.directives_.keys()]
        self.rank = {node.name: i for i,node in enumerate(n for src in exported for n in definitions(src))}

    def begin(self):
        "Put each source after the cells, made by nbdev, that document its definitions"
        start, own, keys = 0, set(), []
        for i,cell in enumerate(self.nb.cells):
            name = documents(cell)
            if name is None: start, own = i, fold(cell)
            elif own is not None and name not in own: start, own = i, None  # the source isn't shown
            keys.append((start, name is None, self.rank.get(name, -1)))
        self.nb.cells = [self.nb.cells[i] for i in sorted(range(len(keys)), key=keys.__getitem__)]

def documents(cell):
    "The name that a cell of nbdev's documents, of a patched method without its class; or None"
    return re.search(r'^show_doc\((?:\w+\.)*(\w+)\)', cell.source, re.M)[1] if getattr(cell, 'has_sd', False) else None

def fold(cell):
    "Fold a cell of exported source; the names it defines"
    if cell.cell_type!='code' or 'exports' not in cell.directives_: return set()
    cell.source = FOLDED+cell.source
    return {node.name for node in definitions(cell.source)}

class Signatures:
    """Mends what nbdev shows of a definition: its source is in the page's own module, the comment of
    `**kwargs` is its own and not the result's, a class of fields shows them with their comments"""
    def __init__(self, nb):
        exported = [c.source for c in nb.cells if c.cell_type=='code' and EXPORTED & c.directives_.keys()]
        self.sources = source_links(nb.cells)
        self.kwargs_comments = re.findall(r'^ +\*\*\w+,? *# (.+?) *$', '\n'.join(exported), re.M)
        heads = ((node.name, fields(node, src)) for src in exported for node in definitions(src))
        self.fields = {name: head for name,head in heads if head}

    def __call__(self, cell):
        name = documents(cell)
        if not name: return
        for data in markdown_outputs(cell):
            text = ''.join(data['text/markdown'])
            if name in self.sources: text = re.sub(r'\[source\]\(\S+?\)', f'[source]({self.sources[name]})', text)
            data['text/markdown'] = self.mend_signature(text, name).splitlines(True)

    def mend_signature(self, text, name):
        if name in self.fields:
            return CODE_BLOCK.sub(lambda m: f'```python\n{self.fields[name]}\n```', text, count=1)
        for comment in map(re.escape, self.kwargs_comments):
            text = re.sub(rf'^(    \*\*\w+)\n(\)\S*:)( # {comment})$', r'\1,\3\n\2', text, flags=re.M)
        return text

CODE_BLOCK = re.compile(r'^```python\n.*?^```', re.M|re.S)

def fields(node, src):
    "The head of a dataclass or named tuple as written, down to its last field; None for another definition"
    if not isinstance(node, ast.ClassDef): return None
    above = [n for part in (*node.bases, *node.decorator_list) for n in ast.walk(part)]
    marks = {n.id for n in above if isinstance(n, ast.Name)}
    last = max((n.end_lineno for n in node.body if isinstance(n, ast.AnnAssign)), default=0)
    if not last or not marks & {'dataclass','NamedTuple'}: return None
    first = node.body[0]
    docstring = range(first.lineno, first.end_lineno+1) if ast.get_docstring(node) else ()
    lines = src.splitlines()
    return '\n'.join(lines[i-1] for i in range(node.lineno, last+1) if i not in docstring)

def source_links(cells):
    "Where the repository has each public definition of the module that a page's cells export"
    names = [c.directives_['default_exp'][0] for c in cells if 'default_exp' in c.directives_]
    if not names: return {}
    cfg = settings()
    path = f"{cfg['lib_path']}/{names[0]}.py"
    url = f"{cfg['git_url']}/blob/{cfg['branch']}/{path}"
    return {n.name: f'{url}#L{n.lineno}' for n in definitions((ROOT/path).read_text(encoding='utf-8'))}
