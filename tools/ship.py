"""Copies the artifacts that come with the repository from their runs, with a card: `python tools/ship.py sst2`, after `python tools/records.py sst2-mpnet`."""
import shutil, sys
from links import ROOT

SHIPPED = {'sst2': ('sst2-mpnet', 'artifact6')}   # artifact: its run, and the stage of the first seed

def main(name):
    from hkd.artifact import deployed_files, load_compressed
    from hkd.hub import write_card
    run, stage = SHIPPED[name]
    source, folder = ROOT/'runs'/run/stage, ROOT/'artifacts'/name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for f in deployed_files(source): shutil.copy2(f, folder)
    load_compressed(folder)   # checks every file
    write_card(folder, f'artifacts/{name}', record=ROOT/f'nbs/results/{run}.json', stage=stage)
    print(*sorted(f'{f.stat().st_size:10,}  {f.relative_to(ROOT)}' for f in folder.iterdir()), sep='\n')

if __name__ == '__main__': main(sys.argv[1])
