"What nearly every notebook imports: `tools/check.py` loads it once, in a process from which each notebook's own is forked."
import logging
logging.disable(logging.WARNING)  # bitsandbytes misses a kernel here that nobody needs
import bitsandbytes, datasets, matplotlib.pyplot, nbdev.test, pandas, peft, scipy.stats, sklearn.metrics, torch, transformers.trainer
import transformers.models.bert.modeling_bert, transformers.models.vit.modeling_vit
logging.disable(logging.NOTSET)
