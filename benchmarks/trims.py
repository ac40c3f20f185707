"""What a trimmed vocabulary costs on texts from elsewhere: `python benchmarks/trims.py`, into nbs/results/trims.json

A student, three layers of MiniLM, is trained on 3,000 rows of SST-2 with the defaults. Its vocabulary is then trimmed in several ways, to the texts of
SST-2 or of 600 of its rows, and the trimmed student is compared with the untrimmed one on sentences of film reviews that are not in SST-2.
Data and models are found as hkd finds them (`$HKD_DATA`, `$HKD_MODELS`).
"""
import gzip, json, statistics, sys, time, warnings

from tables import HERE, LAYERS, MAX_LENGTH, MODEL, WORK, rows_of, say, table_of

OUT = HERE/'nbs/results/trims.json'
REVIEWS = 2000
WAYS = {'only the tokens of the texts': dict(common=0), 'at most 9,700 of them': dict(common=0, size=9700),
        'and the 10,000 commonest (default)': {}, 'and the 20,000 commonest': dict(common=20_000)}

def film_reviews():
    "Sentences from elsewhere"
    from hkd.files import data_dir
    file = data_dir()/'imdb_unlabelled/sentences.txt.gz'
    with gzip.open(file, 'rt', encoding='utf-8') as f: return [next(f).strip() for _ in range(REVIEWS)]

def trained(task):
    "The student"
    from hkd.models import load_model, student_from_teacher
    from hkd.training import finetune
    student = student_from_teacher(load_model(MODEL, task, reset_head=True, seed=0), LAYERS)
    return finetune(student, task, WORK/'student-trims', max_length=MAX_LENGTH, seed=0, disable_tqdm=True)

def compared(student, task, texts):
    "A line a way of trimming: tokens kept, the share of reviews that get the same answer, accuracy on validation"
    import numpy as np
    from hkd.vocab import trim_vocab
    from hkd.teachers import predict_logits
    from hkd.training import predict
    reviews, y = film_reviews(), np.asarray(task.splits['validation']['label'])
    answers = lambda model: [a['label'] for a in predict(model, reviews)]
    accuracy = lambda model: 100*float((predict_logits(model, task, 'validation', max_length=MAX_LENGTH).argmax(1) == y).mean())
    whole = answers(student)
    yield dict(texts=0, way='untrimmed', tokens=len(student.processor), agreement=100., accuracy=accuracy(student))
    for few in texts:
        for way, kw in WAYS.items():
            if kw.get('size', 0) and len(few) < 1000: continue       # so few texts use fewer tokens
            small, tok = trim_vocab(student, student.processor, few, verbose=False, **kw)
            same = statistics.mean(a == b for a, b in zip(answers(small), whole))
            yield dict(texts=len(few), way=way, tokens=len(tok), agreement=100*same, accuracy=accuracy(small))
            say(f"{len(few):,} texts, {way}: {len(tok):,} tokens, the same answer to {100*same:.1f} %")

def main():
    from hkd.data import load_task
    from hkd.files import atomic_write
    from hkd.records import record
    warnings.simplefilter('ignore')
    start = time.time()
    made = {k: record([], 'python benchmarks/trims.py').data[k] for k in ('command', 'commit', 'dirty', 'versions', 'hardware')}
    task = load_task(table_of('sst2', 3000))
    student = trained(task)
    texts = [text for text, _ in rows_of('sst2', 'train')]
    lines = list(compared(student.model, task, [task.splits['train']['text'][:600], texts]))
    config = dict(model=MODEL, layers=LAYERS, steps=student.steps, reviews=REVIEWS)
    atomic_write(OUT, json.dumps(made | dict(config=config, seconds=time.time()-start, lines=lines), indent=1)+'\n')

if __name__ == '__main__': main()
