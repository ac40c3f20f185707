"""Which model families work: every class of transformers' two auto mappings, built tiny from its config, taken through
load, one training step, layer cut, masks, NF4, ONNX and artifact. `python tools/families.py` writes
nbs/results/families.json, which the Models page prints as a table; `python tools/families.py bert vit` prints rows."""
import copy, json, logging, os, sys, tempfile, time, warnings
from pathlib import Path
import numpy as np, torch, transformers
from PIL import Image
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForImageClassification, AutoModelForSequenceClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
from hkd.data import demo_task, make_task
from hkd.demo import demo_tokenizer
from hkd.architecture import IMAGE_TYPES, TEXT_TYPES

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT/'nbs/results/families.json'
STEPS = 'load', 'train', 'layers', 'masks', 'nf4', 'onnx', 'artifact'

# --- tiny configs ---
SIZES = dict(
    hidden_size=32, d_model=32, dim=32, n_embd=32, embed_dim=32, embedding_size=32, emb_dim=32, entity_emb_size=32,
    intermediate_size=64, ffn_dim=64, hidden_dim=64, encoder_ffn_dim=64, decoder_ffn_dim=64, d_ff=64, n_inner=64, d_kv=16,
    num_hidden_layers=2, n_layer=2, n_layers=2, num_layers=2, encoder_layers=2, decoder_layers=2, num_decoder_layers=2,
    num_attention_heads=2, n_head=2, n_heads=2, num_heads=2, encoder_attention_heads=2, decoder_attention_heads=2,
    num_key_value_heads=2, head_dim=16, num_experts_per_tok=2, moe_intermediate_size=32, shared_expert_intermediate_size=32, num_experts=4,
    n_routed_experts=4, num_local_experts=4, entity_vocab_size=20, kv_lora_rank=16, q_lora_rank=16, qk_rope_head_dim=8,
    qk_nope_head_dim=8, v_head_dim=16, index_n_heads=2, linear_num_key_heads=2, linear_num_value_heads=2,
    max_position_embeddings=64, n_positions=64, image_size=32, patch_size=8)
OTHERS = {   # what a family asks for besides; None: a field that it has and does not take
    **{k: dict(decoder_start_token_id=0) for k in ('t5', 'mt5', 'umt5')}, **{k: dict(head_dim=8) for k in ('deepseek_v2', 'deepseek_v3')},
    'falcon': dict(head_dim=None), 'jamba': dict(layer_types=None, attn_layer_period=2, attn_layer_offset=1), 'funnel': dict(num_hidden_layers=None, block_sizes=[1, 1], block_repeats=[1, 1]),
    'gpt_neo': dict(attention_types=[[['global', 'local'], 1]]), 'gptj': dict(rotary_dim=8),
    'layoutlmv3': dict(coordinate_size=6, shape_size=4, visual_embed=False), 'lilt': dict(hidden_size=48, channel_shrink_ratio=4),
    'cohere_compass_text': dict(layer_types=['full_attention']*2), 'esm': dict(vocab_size=200, pad_token_id=0),
    'hunyuan_v1_dense': dict(head_dim=16), 'hunyuan_v1_moe': dict(head_dim=16), 'ministral': dict(head_dim=16),
    'nemotron': dict(num_key_value_heads=2, head_dim=16), 'reformer': dict(axial_pos_embds=False),
    'roc_bert': dict(pronunciation_vocab_size=20, shape_vocab_size=20, concat_input=False),
    'donut-swin': dict(embed_dim=32, depths=[1, 1], num_heads=[2, 4], patch_size=4, window_size=4),
    'swin': dict(embed_dim=32, depths=[1, 1], num_heads=[2, 4], patch_size=4, window_size=4),
    'swinv2': dict(embed_dim=32, depths=[1, 1], num_heads=[2, 4], patch_size=4, window_size=4),
    'hiera': dict(embed_dim=32, depths=[1, 1, 1, 1], num_heads=[1, 2, 4, 8], image_size=[64, 64]),
    'convnext': dict(hidden_sizes=[16, 16, 16, 32], depths=[1, 1, 1, 1]),
    'convnextv2': dict(hidden_sizes=[16, 16, 16, 32], depths=[1, 1, 1, 1])}
AS_IS = {'convnext', 'convnextv2', 'efficientnet', 'levit', 'mobilevitv2', 'pvt'}   # their numbers hang together
SIDE = {'hiera': 64, 'levit': 224, 'cvt': 64, 'efficientnet': 64, 'mobilevitv2': 64, 'pvt': 224}   # other than 32

IDS = dict(pad_token_id=0, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3, unk_token_id=1, decoder_start_token_id=2)

def small_fields(config, side):
    "The fields of a config that count something, with small values"
    number = lambda k: isinstance(getattr(config, k, None), int) and not isinstance(getattr(config, k), bool)
    out = {k: v for k, v in dict(SIZES, pooler_hidden_size=32).items() if number(k)}
    if number('image_size'): out['image_size'] = side
    if number('vocab_size'): out['vocab_size'] = len(demo_tokenizer())+8   # some tokenizers add their own
    out |= {k: v for k, v in IDS.items() if hasattr(config, k)}
    out |= {k: 0. for k in ('hidden_dropout_prob', 'drop_path_rate', 'dropout', 'attention_dropout') if isinstance(getattr(config, k, None), float)}
    if getattr(config, 'layer_types', None): out['layer_types'] = config.layer_types[:2]
    inner = {k: v for k, v in vars(config).items() if hasattr(v, 'model_type') and hasattr(v, 'to_dict')}
    return out | {k: v.to_dict() | small_fields(v, side) for k, v in inner.items()}

def tiny_config(kind):
    "A small config of a model type"
    cls = CONFIG_MAPPING[kind]
    fields = ({} if kind in AS_IS else small_fields(cls(), SIDE.get(kind, 32))) | OTHERS.get(kind, {})
    return cls(**{k: v for k, v in fields.items() if v is not None}, architectures=[])

# --- what is tried ---
def few(task, n=8):
    "The same demo task with a few examples in each split"
    splits = {s: ds.select(range(n)) for s, ds in task.splits.items()}
    return copy.copy(task).__class__(**{**vars(task), 'splits': splits})

def backbone(kind, modality, folder):
    "A folder with a pretrained backbone without a head; the class that transformers loads from it"
    torch.manual_seed(1)
    try: model = AutoModel.from_config(tiny_config(kind))
    except Exception as e: raise NotTried(str(e)) from None    # another package is missing
    model.save_pretrained(folder)
    if modality == 'text': demo_tokenizer().save_pretrained(folder)
    else: ViTImageProcessorPil(size=dict(height=SIDE.get(kind, 32), width=SIDE.get(kind, 32))).save_pretrained(folder)
    return AutoModelForImageClassification if modality == 'image' else AutoModelForSequenceClassification

def loaded(kind, modality, task, folder):
    "hkd's model of that folder, after a comparison of each tensor of the backbone with transformers' own"
    from hkd.heads import in_backbone
    from hkd.models import load_model
    auto = backbone(kind, modality, folder)
    model = load_model(folder, task)
    theirs, info = auto.from_pretrained(folder, num_labels=3, output_loading_info=True)
    pretrained, ours = in_backbone(model), model.state_dict()
    run(theirs, demo_tokenizer() if modality == 'text' else ViTImageProcessorPil(size=dict(height=SIDE.get(kind, 32), width=SIDE.get(kind, 32))))
    same = [torch.equal(t.float(), ours[k].float()) for k, t in theirs.state_dict().items() if pretrained(k) and k not in info['missing_keys']]
    assert same and all(same), f'{same.count(False)} of {len(same)} tensors differ from the checkpoint'
    return model

class NotTried(Exception): pass

def run(model, processor):
    "Does transformers' own model answer, so small as it is here?"
    x = processor(['the plot is good', 'no']) if hasattr(processor, 'tokenize') else processor(images=[Image.new('RGB', (64, 64))]*2)
    x = processor.pad(x, return_tensors='pt') if hasattr(processor, 'tokenize') else {k: torch.tensor(np.array(v)) for k, v in x.items()}
    try:
        with torch.no_grad(): model.eval()(**x)
    except Exception as e: raise NotTried(str(e)) from None

def trained(model, task):
    from hkd.training import finetune
    done = finetune(model, task, max_steps=1, views=0, bf16=False, per_device_train_batch_size=4)
    assert done.steps == 1 and all(m['loss'] == m['loss'] for m in done.metrics.values())

def cut(model, task):
    from hkd.models import student_from_teacher
    from hkd.teachers import predict_logits
    predict_logits(student_from_teacher(model, 1), task, 'tuning')

def masked(model, task):
    from hkd.architecture import copy_model
    from hkd.prune import prune, sparsity
    pruned = prune(copy_model(model), .3)
    assert abs(sparsity(pruned)-.3) < .02, sparsity(pruned)

def quantized(model, task):
    from hkd.qlora import quantize_nf4
    from hkd.teachers import predict_logits
    predict_logits(quantize_nf4(model), task, 'tuning')

def exported(model, task, folder):
    from hkd.export import export_onnx
    export_onnx(model, folder)

def packed(model, task, folder):
    from hkd.artifact import compress, load_compressed, save_compressed
    from hkd.teachers import predict_logits
    ours, back = compress(model), load_compressed(save_compressed(model, folder))
    assert (predict_logits(ours, task, 'tuning') == predict_logits(back, task, 'tuning')).all()

def refusal(e):
    "One line; the first word says whether hkd refused on purpose or a library failed"
    if isinstance(e, NotTried): return 'not tried: no small config that transformers runs'
    tb = e.__traceback__
    while tb.tb_next: tb = tb.tb_next
    meant = tb.tb_frame.f_globals.get('__name__', '').startswith('hkd.') and isinstance(e, (ValueError, FileNotFoundError))
    return f"{'no' if meant else 'FAILED'}: {' '.join(str(e).split())[:200] or type(e).__name__}"

def row(kind, names, modality, task):
    "What works for one model type: step -> 'yes' or why not"
    out = dict(type=kind, classes=list(names) if isinstance(names, tuple) else [names], modality=modality)
    try: tiny_config(kind)
    except Exception as e: return out | dict(load=refusal(NotTried()))
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        def attempt(step, f, *args):
            try: result, out[step] = f(*args), 'yes'
            except Exception as e: result, out[step] = None, refusal(e).replace(str(tmp), '')
            return result
        model = attempt('load', loaded, kind, modality, task, tmp/'backbone')
        if model is None: return out
        for step, f in dict(train=trained, layers=cut, masks=masked, nf4=quantized).items(): attempt(step, f, model, task)
        attempt('onnx', exported, model, task, tmp/'onnx')
        attempt('artifact', packed, model, task, tmp/'artifact')
    return out

def types(): return [('text', k, n) for k, n in TEXT_TYPES.items()] + [('image', k, n) for k, n in IMAGE_TYPES.items()]

def rows(wanted=()):
    "A row for each model type, or for those wanted"
    warnings.simplefilter('ignore'); logging.disable(logging.WARNING)
    transformers.logging.set_verbosity_error(); transformers.logging.disable_progress_bar()
    tasks = {m: few(demo_task(m)) for m in ('text', 'image')}
    for modality, kind, names in types():
        if not wanted or kind in wanted: yield row(kind, names, modality, tasks[modality])

def main(wanted):
    if unknown := set(wanted)-{k for _, k, _ in types()}: sys.exit(f'no such model type: {", ".join(sorted(unknown))}')
    done, start = [], time.time()
    for r in rows(wanted):
        print(r['type'], {k: r.get(k, '') for k in STEPS}, f'{time.time()-start:.0f} s', flush=True)
        done.append(r)
    if wanted: return
    from hkd.records import record
    about = {k: v for k, v in record([], 'python tools/families.py', seconds=time.time()-start).data.items() if k != 'rows'}
    RECORD.write_text(json.dumps(about | dict(rows=done), indent=1)+'\n', encoding='utf-8')

if __name__ == '__main__': main(sys.argv[1:])
