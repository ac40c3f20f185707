"""The house's rules for code and words, as checks of `make test`: each function gives the places that break one"""
import ast, re
from collections import Counter

WIDTH, MODULE_LINES, PUBLIC = 110, 450, (25, 45)

# --- code ---

def long_lines(name, text):
    "Lines over 110 characters; addresses apart, and the list of names that nbdev writes"
    made = re.search(r'^__all__ = \[[^\]]*\]', text, re.M)
    start, end = (text[:n].count('\n')+1 for n in (made.span() if made else (0, 0)))
    return [f'{name}:{i}: {len(l)} characters, at most {WIDTH}' for i,l in enumerate(text.splitlines(), 1)
            if len(l)>WIDTH and not (made and start<=i<=end) and not re.search(r'https?://\S{60}', l)]

def private_imports(name, text):
    "Names with an underscore that come from another module of hkd"
    nodes = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)]
    ours = [n for n in nodes if n.level or (n.module or '').split('.')[0]=='hkd']
    return [f'{name}:{n.lineno}: {a.name} of {n.module}' for n in ours for a in n.names
            if a.name.startswith('_') and not a.name.startswith('__')]

def loud_imports(name, text):
    "The Trainer's parts imported before `hkd.resume`, which keeps a hint of bitsandbytes off the screen"
    nodes = [n for n in ast.parse(text).body if isinstance(n, ast.ImportFrom)]
    calm = [n.lineno for n in nodes if n.level and n.module in ('resume', 'trainer', 'training')]
    return [f'{name}:{n.lineno}: import it within quiet()' for n in nodes if (n.module or '').startswith('transformers')
            and any('Trainer' in a.name for a in n.names) and not (calm and calm[0]<n.lineno)]

def public_names(text):
    "`__all__` of a module"
    for n in ast.parse(text).body:
        if isinstance(n, ast.Assign) and getattr(n.targets[0], 'id', '')=='__all__': return ast.literal_eval(n.value)
    return []

def defined_twice(modules):   # {module: text}
    "Public names that two modules define"
    count = Counter(n for m,text in modules.items() if m!='all' for n in public_names(text))
    where = lambda name: ', '.join(m for m,text in modules.items() if m!='all' and name in public_names(text))
    return [f'{name}: in {where(name)}' for name,k in count.items() if k>1]

# --- words ---

# What language.md replaces: word -> what to write
OLD = {r'hears?|heard|hearing': 'has as its teacher, with a teacher', r'said|says?|saying': 'reports, is, states',
       r'told|tells?|telling': 'shows, gives', 'alone': 'without a teacher, only', 'nobody|whom': 'no one, which',
       'alive|luck|harm|merit': 'the fact itself', r'listens?': 'uses', r'rehears\w*': 'smoke test',
       'no-kd': 'baseline', 'kept answers': 'cached teacher logits', r'licen[c]es?': 'license', r'colou[r]\w*': 'color',
       r'\w*(?:quantis|normalis|tokenis|optimis|recognis|initialis)\w*': 'z for s', r'behaviou[r]s?': 'behavior',
       r'neighbou[r]\w*': 'neighbor', r'\w*labelle[d]': 'labeled', 'learn[t]': 'learned', r'cent(?:re)d?': 'center',
       'report_split': 'eval_split', 'load_any': 'load', 'measured_row': 'row_from_measurement', 'HEARS': 'TEACHER_STRATEGIES',
       'prune_and_recover': 'prune_and_finetune', 'transfer_most': 'max_transfer', 'same_images': 'near_duplicates',
       'ENGINES?': 'BACKENDS', 'Taught': 'WithTeacher'}
_OLD = {re.compile(rf'(?<![\w-])(?:{old})(?![\w-])', re.I if old.islower() else 0): new for old,new in OLD.items()}

def old_words(text, allowed=()):
    "(word, what to write) for each word that language.md replaces"
    for phrase in allowed: text = re.sub(phrase, '', text)
    return [(m[0], new) for rx,new in _OLD.items() for m in rx.finditer(text)]

# --- pages ---

def shown(cells):
    "Of a page's visible code cells: how many show an output, how many there are"
    text = lambda c: ''.join(c['source'])
    hidden = r'^#\s*\|\s*(?:hide|export\b|exporti|default_exp|echo: false)'
    code = [c for c in cells if c['cell_type']=='code' and text(c).strip() and not re.search(hidden, text(c), re.M)]
    work = [c for c in code if not re.search(r'^#\s*\|\s*exports', text(c), re.M)]
    return sum(bool(c['outputs']) for c in work), len(work)

if __name__ == '__main__':   # the rules themselves
    assert long_lines('m', 'x'*111+'\n'+'y'*110) == ['m:1: 111 characters, at most 110']
    assert private_imports('m', 'from .data import _x, y\nfrom os import _exit') == ['m:1: _x of data']
    trainer = 'from transformers import TrainerCallback'
    assert loud_imports('m', trainer) and not loud_imports('m', f'from .resume import is_main\n{trainer}')
    assert not loud_imports('m', f'with quiet(): {trainer}')
    assert defined_twice(dict(a="__all__=['f','g']", b="__all__=['f']")) == ['f: in a, b']
    assert [w for w,_ in old_words('It said: nobody hears it, alone.', [r'nobody'])] == ['hears', 'said', 'alone']
    assert not old_words('essays, retold, stand-alone')
