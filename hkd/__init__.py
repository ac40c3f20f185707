__version__ = "0.1.0"

def __getattr__(name):
    "The names of `hkd.all`, loaded on first use"
    from importlib import import_module
    missing = AttributeError(f"module 'hkd' has no attribute {name!r}")
    if name.startswith('_'): raise missing
    try: return import_module(f'hkd.{name}')
    except ModuleNotFoundError as e:
        if e.name!=f'hkd.{name}': raise
    everything = import_module('hkd.all')
    if name in everything.__all__: return getattr(everything, name)
    raise missing
