"""The networks: sizes, shapes, and the parts of the prior's prediction."""

from itertools import pairwise

import pytest
import torch

from wuerst_demo.training import models
from wuerst_demo.training.tokenizer import WORD_LIST, train_tokenizer


@pytest.mark.skipif(not WORD_LIST.exists(), reason="needs Debian's wamerican")
def test_networks_grow_with_the_scale_and_fit_each_other():
    tokenizer = train_tokenizer(700, captions=50)
    builders = (
        models.build_prior,
        models.build_decoder,
        lambda scale: models.build_text_encoder("prior", scale, tokenizer),
        lambda scale: models.build_text_encoder("decoder", scale, tokenizer),
    )
    counts = []
    with torch.device("meta"):  # shapes alone: no time is spent on numbers
        for scale in (1, 2, 3, 4, 5, 6):
            prior, decoder, prior_text, decoder_text = networks = [build(scale) for build in builders]
            assert prior.config["c_cond"] == prior_text.config.hidden_size
            assert decoder.config["clip_embd"] == decoder_text.config.hidden_size
            counts.append([sum(p.numel() for p in network.parameters()) for network in networks])
    for smaller, larger in pairwise(counts):
        assert all(a < b for a, b in zip(smaller, larger, strict=True))


def test_prior_parts_make_up_its_prediction():
    torch.manual_seed(0)
    prior = models.build_prior(1).eval()
    torch.nn.init.normal_(prior.out[1].weight, std=0.1)
    noisy, text, t = torch.randn(2, 16, 6, 6), torch.randn(2, 77, prior.config.c_cond), torch.tensor([0.03, 0.4])
    a, b = models.predict_prior_parts(prior, noisy, t, text)
    torch.testing.assert_close((noisy - a) / b, prior(noisy, t, text))


@pytest.mark.parametrize(("height", "width"), [(256, 256), (256, 384)])
def test_image_encoder_and_sketch_decoder_keep_the_aspect_ratio(height, width):
    encoder, sketcher = models.ImageEncoder(1).eval(), models.SketchDecoder(1).eval()
    with torch.no_grad():
        z = models.encode_images(encoder, torch.rand(2, 3, height, width))
        sketch = sketcher(z, height, width)
    assert z.shape == (2, 16, height * 3 // 128, width * 3 // 128)
    assert sketch.shape == (2, 3, height // 4, width // 4)


def test_dropped_captions_do_not_count_in_the_auxiliary_loss():
    torch.manual_seed(0)
    head, text = models.CaptionHead(8, 5), torch.randn(2, 77, 8)
    labels = torch.tensor([[1.0, 0, 0, 1, 0], [0, 0, 0, 0, 0]])
    assert head(text, labels).item() == pytest.approx(head(text[:1], labels[:1]).item() / 2)
