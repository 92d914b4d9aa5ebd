"""AST and CLAP as judges, on small random weights, beside the pipelines of transformers."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from xattnmask import CheckpointError, SettingError, list_judges, load_judge

SOUND = np.random.default_rng(0).normal(0, 0.1, 24000).astype(np.float32)
WORDS = ["[PAD]", "[UNK]", "This", "is", "a", "sound", "of", "dog", "rain", "bell", "."]
LABELS = ["dog", "rain", "bell"]


@pytest.fixture(scope="module")
def ast(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("ast"))
    torch.manual_seed(0)
    config = transformers.ASTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
                                    max_length=128, num_mel_bins=32, id2label={0: "dog", 1: "rain", 2: "bell"},
                                    label2id={"dog": 0, "rain": 1, "bell": 2}, initializer_range=0.5)
    transformers.ASTForAudioClassification(config).save_pretrained(folder)
    transformers.ASTFeatureExtractor(max_length=128, num_mel_bins=32).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clap(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("clap"))
    torch.manual_seed(0)
    text = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "projection_dim": 8, "pad_token_id": 0, "max_position_embeddings": 40}
    audio = {"patch_embeds_hidden_size": 8, "hidden_size": 32, "depths": [1, 1, 1], "num_attention_heads": [1, 1, 2],
             "num_hidden_layers": 3, "spec_size": 64, "num_mel_bins": 16, "window_size": 4, "projection_dim": 8,
             "enable_fusion": False, "patch_size": 4, "patch_stride": [4, 4]}
    config = transformers.ClapConfig(text_config=text, audio_config=audio, projection_dim=8)
    transformers.ClapModel(config).save_pretrained(folder)
    plain = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    plain.pre_tokenizer = Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, pad_token="[PAD]", unk_token="[UNK]")
    extractor = transformers.ClapFeatureExtractor(feature_size=16, max_length_s=1, truncation="rand_trunc")
    transformers.ClapProcessor(extractor, tokenizer).save_pretrained(folder)
    return folder


def test_they_are_listed_without_importing_transformers():
    assert {"ast", "clap"} <= {offer.key for offer in list_judges()}


def test_ast_says_what_the_pipeline_says(ast):
    judge = load_judge("ast", ast)
    pipeline = transformers.pipeline("audio-classification", model=ast, feature_extractor=ast, top_k=None)
    expected = {found["label"]: found["score"] for found in pipeline({"raw": SOUND[:16000], "sampling_rate": 16000})}
    found = judge(SOUND[:16000], 16000)
    np.testing.assert_allclose(found, [expected[label] for label in judge.labels], atol=1e-6)
    assert judge.labels == ("dog", "rain", "bell") and not judge.multilabel


def test_ast_for_several_labels_takes_sigmoids(ast, tmp_path):
    model = transformers.ASTForAudioClassification.from_pretrained(ast)
    model.config.problem_type = "multi_label_classification"
    model.save_pretrained(tmp_path)
    transformers.ASTFeatureExtractor.from_pretrained(ast).save_pretrained(tmp_path)
    judge = load_judge("ast", str(tmp_path))
    logits = torch.logit(torch.tensor(judge(SOUND[:16000], 16000)))
    assert judge.multilabel
    np.testing.assert_allclose(logits.softmax(0).numpy(), load_judge("ast", ast)(SOUND[:16000], 16000), atol=1e-5)


def test_clap_says_what_the_pipeline_says(clap):
    judge = load_judge("clap", clap, labels=LABELS)
    task = "zero-shot-audio-classification"
    pipeline = transformers.pipeline(task, model=clap, feature_extractor=clap, tokenizer=clap)
    expected = {found["label"]: found["score"] for found in pipeline(SOUND[:20000], candidate_labels=LABELS)}
    found = judge(SOUND[:20000], 48000)
    np.testing.assert_allclose(found, [expected[label] for label in LABELS], atol=1e-6)
    assert np.ptp(found) > 1e-4  # the labels are told apart at all


def test_the_order_of_labels_is_the_users(clap):
    first, second = (load_judge("clap", clap, labels=labels)(SOUND, 48000) for labels in (LABELS, LABELS[::-1]))
    np.testing.assert_allclose(first, second[::-1], atol=1e-6)


@pytest.mark.parametrize("key", ["ast", "clap"])
def test_long_sounds_are_heard_whole_and_alike_each_time(key, request):
    judge = load_judge(key, request.getfixturevalue(key), labels=LABELS if key == "clap" else None)
    rate = judge.extractor.sampling_rate
    length = round(1.28 * rate) if key == "ast" else rate
    long = np.concatenate([SOUND, SOUND[::-1] * 2, SOUND, SOUND, SOUND])[: 2 * length].copy()
    halves = [judge(long[:length], rate), judge(long[length:], rate)]
    np.testing.assert_allclose(judge(long, rate), np.mean(halves, 0), atol=1e-6)
    assert np.array_equal(judge(long, rate), judge(long, rate))


@pytest.mark.parametrize("key", ["ast", "clap"])
def test_channels_and_rates(key, request):
    judge = load_judge(key, request.getfixturevalue(key), labels=LABELS if key == "clap" else None)
    rate = judge.extractor.sampling_rate
    np.testing.assert_allclose(judge(np.stack([SOUND, SOUND]), rate), judge(SOUND, rate), atol=1e-6)
    tone = np.sin(np.arange(rate // 2) * 2 * np.pi * 440 / rate).astype(np.float32)
    half = np.sin(np.arange(rate // 4) * 2 * np.pi * 440 / (rate / 2)).astype(np.float32)
    np.testing.assert_allclose(judge(half, rate // 2), judge(tone, rate), atol=2e-2)
    with pytest.raises(SettingError, match="the audio is empty"):
        judge(np.zeros(0, np.float32), rate)


def test_what_cannot_be_loaded(ast, clap, tmp_path):
    with pytest.raises(SettingError, match="judge 'ast' needs a checkpoint"):
        load_judge("ast")
    with pytest.raises(CheckpointError, match="no such checkpoint folder"):
        load_judge("ast", str(tmp_path / "nothing" / "at" / "all"))
    with pytest.raises(CheckpointError, match="holds a model of type 'clap'"):
        load_judge("ast", clap)
    (tmp_path / "config.json").write_text(json.dumps(transformers.ASTConfig.from_pretrained(ast).to_dict()))
    with pytest.raises(CheckpointError, match="cannot read how its inputs are prepared"):
        load_judge("ast", str(tmp_path))
    transformers.ASTFeatureExtractor.from_pretrained(ast).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="cannot read its weights"):
        load_judge("ast", str(tmp_path))
