"""Trainer of Carat's embedded model: data, tokenizer, model, training, export, evaluation."""
