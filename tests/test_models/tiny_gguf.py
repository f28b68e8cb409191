"""A random Llama with the smallest sensible tokenizer in a GGUF file, as llama.cpp writes it."""

from pathlib import Path

WORDS = ["<unk>", "<s>", "</s>"]
TEMPLATE = "{% for m in messages %}{{ m['role'] }} {{ m['content'] }}{% endfor %}"


def save_tiny_gguf(file: Path, *, architecture: str = "llama", layers: int = 2) -> Path:
    """Write weights quantised to eight bits; says it has `layers`, and has two."""
    import gguf
    import numpy as np
    from tokenizers import pre_tokenizers

    words = [*WORDS, *sorted(pre_tokenizers.ByteLevel.alphabet()), "he"]
    width, inner, heads = 32, 64, 4
    writer = gguf.GGUFWriter(file, architecture)
    writer.add_name("tiny")
    writer.add_context_length(512)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_types([3] * len(WORDS) + [1] * (len(words) - len(WORDS)))
    writer.add_token_merges(["h e"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)
    draw = np.random.default_rng(0)

    def add(name: str, *shape: int) -> None:
        values = draw.normal(0, 0.3, shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, values)
            return
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)

    add("token_embd.weight", len(words), width)
    add("output_norm.weight", width)
    add("output.weight", len(words), width)
    for layer in range(2):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{layer}.{name}.weight", width, width)
        add(f"blk.{layer}.ffn_gate.weight", inner, width)
        add(f"blk.{layer}.ffn_up.weight", inner, width)
        add(f"blk.{layer}.ffn_down.weight", width, inner)
        add(f"blk.{layer}.attn_norm.weight", width)
        add(f"blk.{layer}.ffn_norm.weight", width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
