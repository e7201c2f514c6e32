"""Loads the folder it is given with transformers and writes the logits of the token ids on its input, one JSON list each."""

import json
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = sys.argv[1]
model, loading = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
    found = set(loading[problem]) - ({"lm_head.weight"} if model.config.tie_word_embeddings else set())
    assert not found, f"{problem}: {found}"

request = json.load(sys.stdin)
tokens = AutoTokenizer.from_pretrained(folder)(request["text"], add_special_tokens=False)["input_ids"]
with torch.no_grad():
    logits = model.float().eval()(torch.tensor([request["ids"]])).logits[0]
json.dump({"class": type(model).__name__, "tokens": tokens, "logits": logits.tolist()}, sys.stdout)
