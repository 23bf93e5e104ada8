"""A real llama.cpp server with a tiny model of random weights, made in a second.

It can't find entities. It can be asked as any server of the OpenAI protocol, with a real
tokenizer, a real context limit, real constrained decoding and real counts.
"""

from contextlib import contextmanager
from typing import Any, Iterator, List, NamedTuple, Optional

import pytest

KEY = "llama-test-key-5f1c"
# Tokens that one conversation has room for. A token is a byte, or one of the pieces.
CONTEXT = 8192
PARALLEL = 8
WIDTH = 32
BOS, EOS = 1, 2

# Written as the chat template of a model is. "</s>" ends a turn.
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
# What keeps answers short: the larger, the sooner a list, an object or a string ends.
BIAS = {'"': 2.0, "}": 2.0, "]": 1.0, "{": 2.0, "</s>": 2.0}


class LlamaServer(NamedTuple):
    """base_url (str): For the client, with /v1.
    key (str): The API key it wants.
    model (str): Its name.
    context (int): Tokens of a conversation, prompt and answer together.
    """

    base_url: str
    key: str
    model: str
    context: int


def write_gguf(path: Any, *, seed: int = 0) -> None:
    """Write a llama model of one layer with random weights and a vocabulary of bytes."""
    import gguf
    import numpy

    pieces, scores, kinds = make_vocabulary()
    rng = numpy.random.default_rng(seed)

    def random(*shape: int) -> Any:
        return rng.normal(0.0, 0.3, shape).astype("float32")

    embeddings, output = random(len(pieces), WIDTH), random(len(pieces), WIDTH)
    # Every embedding has the same first number, so that the first column of the output
    # works as a bias, which the architecture lacks.
    embeddings[:, 0] = 2.0
    output[:, 0] = [bias(x) for x in pieces]

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // 2)
    writer.add_vocab_size(len(pieces))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(0)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(TEMPLATE)
    ones = numpy.ones(WIDTH, dtype="float32")
    tensors = {
        "token_embd.weight": embeddings,
        "output.weight": output,
        "output_norm.weight": ones,
        "blk.0.attn_norm.weight": ones,
        "blk.0.ffn_norm.weight": ones,
        "blk.0.ffn_gate.weight": random(2 * WIDTH, WIDTH),
        "blk.0.ffn_up.weight": random(2 * WIDTH, WIDTH),
        "blk.0.ffn_down.weight": random(WIDTH, 2 * WIDTH),
    }
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        tensors[f"blk.0.{name}.weight"] = random(WIDTH, WIDTH)
    for name, tensor in tensors.items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def bias(piece: str) -> float:
    """RETURNS (float): How much more likely than others a piece is."""
    # A part of a character: the server fails where an answer is no UTF-8.
    part = piece.startswith("<0x") and int(piece[3:5], 16) >= 128
    return -4.0 if part else BIAS.get(piece, 0.0)


def make_vocabulary() -> "tuple[List[str], List[float], List[int]]":
    """RETURNS: pieces, their scores and kinds: special ones, bytes, printable ASCII."""
    import gguf

    kind = gguf.TokenType
    special = [("<unk>", kind.UNKNOWN), ("<s>", kind.CONTROL), ("</s>", kind.CONTROL)]
    pieces = [*special, *((f"<0x{i:02X}>", kind.BYTE) for i in range(256))]
    # SentencePiece writes a blank as U+2581.
    ascii_ = [" ".replace(" ", "\u2581"), *(chr(i) for i in range(33, 127))]
    pieces += [(x, kind.NORMAL) for x in ascii_]
    return [x for x, _ in pieces], [0.0] * len(pieces), [int(k) for _, k in pieces]


@contextmanager
def run_llama(folder: Any, *, context: int = CONTEXT) -> Iterator[LlamaServer]:
    """Run a server on a free port of this machine, inside this process.

    folder (Path): Where the model is written.
    context (int): Tokens of one conversation.
    """
    xllamacpp = pytest.importorskip("xllamacpp", reason="needs xllamacpp")
    pytest.importorskip("gguf", reason="needs gguf")
    path = folder / "tiny.gguf"
    if not path.exists():
        write_gguf(path)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = ["tiny"]
    params.n_ctx = context * PARALLEL
    params.n_parallel = PARALLEL
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    params.n_threads_http = PARALLEL + 2
    params.warmup = False
    params.verbosity = 0
    params.use_jinja = True
    params.api_keys = [KEY]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    server: Optional[Any] = xllamacpp.Server(params)
    try:
        yield LlamaServer(f"{server.listening_address}/v1", KEY, "tiny", context)
    finally:
        # Its destructor ends the threads.
        server = None
