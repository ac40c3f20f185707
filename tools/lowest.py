"The lower ends of the ranges in settings.ini, a line each: `pip install -r <(python tools/lowest.py)` installs the oldest versions that hkd promises to run on."
import re
from links import settings

def lowest(text):
    "`name>=1.2,<2` as `name==1.2`"
    return [f'{m[1]}=={m[2]}' for m in re.finditer(r'^\s*([\w-]+)>=([\w.]+)', text, re.M)]

if __name__=='__main__': print(*lowest(settings()['requirements']), *lowest(settings()['onnx_requirements']), sep='\n')
