"""ComfyUI's graphs are followed through any nodes, within a bounded number of steps."""

import json

import pytest

from wuerst_demo.images import comfyui_graph
from wuerst_demo.images.comfyui_graph import MAX_TEXT_CHARS, MAX_VISITS, is_graph, load_json_object, parse_comfyui_graph

SAMPLER = {"seed": 5, "steps": 20, "cfg": 7, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0]}
NODES = {
    "3": {"class_type": "KSampler", "inputs": {**SAMPLER, "latent_image": ["5", 0]}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "mix"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a barn", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "fog", "clip": ["4", 1]}},
}
VALUES = {"prompt": "a barn", "negative_prompt": "fog", "seed": 5, "prior_steps": 20, "prior_guidance": 7}
VALUES |= {"width": 512, "height": 768}


def node(name="Node", **inputs):
    return {"class_type": name, "inputs": inputs}


def parse(sampler=None, **nodes):
    """Settings of the usual graph, its sampler and its nodes with these changes; names are written n6 for "6"."""
    changed = {**NODES, **{name[1:]: each for name, each in nodes.items()}}
    changed["3"] = node("KSampler", **{**NODES["3"]["inputs"], **(sampler or {})})
    return parse_comfyui_graph(changed)


@pytest.mark.parametrize(
    "nodes",
    [
        {"n6": node("FluxGuidance", conditioning=["8", 0], guidance=3.5), "n8": NODES["6"]},
        {"n6": node("CLIPTextEncodeSDXL", text_g="a barn", text_l="a barn", width=1)},
        {"n6": node("CLIPTextEncodeFlux", clip_l="a barn", t5xxl="a barn", guidance=3)},
        {"n6": node("CLIPTextEncode", text=["8", 0]), "n8": node("Primitive", value="a barn")},
        {"n6": node("Reroute", **{"": ["8", 0]}), "n8": NODES["6"]},
        {
            "n6": node("CLIPTextEncode", text=["8", 0]),
            "n8": node("Concat", string_a="a", string_b="barn", delimiter=" "),
        },
        {
            "n6": node("CLIPTextEncode", text=["8", 0]),
            "n8": node("Show", text=["9", 0], text_0="what it showed before"),
            "n9": node(value="a barn"),
        },
        {
            "n6": node("CLIPTextEncode", text=["8", 0]),
            "n8": node("Wildcards", wildcard_text="a {barn|hill}", populated_text="a barn", mode="populate", seed=3),
        },
        {
            "n6": node("ConditioningCombine", conditioning_1=["8", 0], conditioning_2=["9", 0]),
            "n8": NODES["6"],
            "n9": node("E", text=""),
        },
        {"n6": node("LoraText", conditioning=["8", 0], clip=["4", 1]), "n8": node("E", text="a barn", clip=["9", 0])},
    ],
    ids=["guidance", "sdxl", "flux", "primitive", "reroute", "concat", "show", "wildcards", "combine", "style"],
)
def test_text_is_followed_through_any_nodes(nodes):
    assert parse(**nodes).values == VALUES


def test_controlnet_keeps_both_texts_apart():
    control = node(
        "ControlNetApplyAdvanced", positive=["8", 0], negative=["7", 0], control_net=["4", 0], image=["4", 1]
    )
    assert parse({"positive": ["6", 0], "negative": ["6", 1]}, n6=control, n8=NODES["6"]).values == VALUES


def test_conditionings_are_joined():
    combine = node("ConditioningConcat", conditioning_to=["8", 0], conditioning_from=["9", 0])
    settings = parse(n6=combine, n8=NODES["6"], n9=node("CLIPTextEncode", text="a hill"))
    assert settings.values["prompt"] == "a barn, a hill"


def test_a_negative_text_that_is_zeroed_out_is_empty():
    assert parse(n7=node("ConditioningZeroOut", conditioning=["6", 0])).values["negative_prompt"] == ""


def test_linked_numbers_are_followed():
    nodes = {"n8": node("PrimitiveInt", value=9), "n9": node("Seed (rgthree)", seed=7)}
    size = node("EmptyLatentImage", width=["8", 0], height=["8", 0])
    settings = parse(
        {"seed": ["9", 0], "steps": ["8", 0], "cfg": ["10", 0]}, n5=size, n10=node("F", float=2.5), **nodes
    )
    numbers = {"seed": 7, "prior_steps": 9, "prior_guidance": 2.5, "width": 9, "height": 9}
    assert settings.values == VALUES | numbers


def test_efficiency_nodes_are_read():
    loader = node("Efficient Loader", ckpt_name="mix", positive="a barn", negative="fog", empty_latent_width=512)
    loader["inputs"]["empty_latent_height"] = 768
    sampler = node("KSampler (Efficient)", seed=5, steps=20, cfg=7, positive=["1", 1], negative=["1", 2])
    sampler["inputs"] |= {"latent_image": ["1", 3], "model": ["1", 0]}
    settings = parse_comfyui_graph({"1": loader, "2": sampler})
    assert (settings.values, settings.checkpoint, settings.unsupported) == (VALUES, "mix", ())


def easy_loader(**inputs):
    usual = {"positive": "a barn", "negative": "fog", "resolution": "512 x 768", "clip_skip": -2}
    usual |= {"empty_latent_width": 64, "empty_latent_height": 64}
    return node("easy fullLoader", ckpt_name="mix", **{**usual, **inputs})


@pytest.mark.parametrize(
    "loader",
    [
        easy_loader(),
        easy_loader(resolution="width x height (custom)", empty_latent_width=512, empty_latent_height=768),
        easy_loader(positive=["9", 0]),
    ],
)
def test_settings_in_the_pipes_of_easy_use_are_read(loader):
    sampled = {"steps": 20, "cfg": 7, "seed": 5}
    text = node("easy positive", positive="a barn")
    for nodes in (
        {"2": node("easy preSampling", pipe=["1", 0], **sampled), "3": node("easy kSampler", pipe=["2", 0])},
        {"2": node("easy fullkSampler", pipe=["1", 0], **sampled)},
        {"2": node("easy preSampling", pipe=["4", 0], **sampled), "4": node("easy controlnetLoader", pipe=["1", 0])},
    ):
        settings = parse_comfyui_graph({"1": loader, **nodes, "9": text})
        assert (settings.values, settings.checkpoint, settings.unsupported) == (VALUES, "mix", ())


def test_the_size_of_an_image_that_a_pipe_begins_with_is_not_guessed():
    sampler = node("easy preSampling", pipe=["1", 0], image_to_latent=["8", 0], steps=20, cfg=7, seed=5)
    settings = parse_comfyui_graph({"1": easy_loader(), "2": sampler, "8": node("LoadImage", image="a.png")})
    assert settings.unread == ("width", "height")


def test_a_basic_pipe_is_read():
    nodes = {
        **NODES,
        "3": node("ImpactKSamplerBasicPipe", basic_pipe=["8", 0], latent_image=["5", 0], seed=5, steps=20, cfg=7),
        "8": node("ToBasicPipe", positive=["6", 0], negative=["7", 0]),
    }
    assert parse_comfyui_graph(nodes).values == VALUES


def test_a_guider_of_two_texts_is_read():
    nodes = {
        **NODES,
        "3": node("SamplerCustomAdvanced", noise=["8", 0], guider=["9", 0], sigmas=["10", 0], latent_image=["5", 0]),
        "8": node("RandomNoise", noise_seed=5),
        "9": node("CFGGuider", positive=["6", 0], negative=["7", 0], cfg=7),
        "10": node("SplitSigmas", sigmas=["11", 0], step=3),
        "11": node("BasicScheduler", steps=20),
    }
    assert parse_comfyui_graph(nodes).values == VALUES


def test_a_sampler_that_means_the_same_is_read():
    settings = parse({"sampler_name": "ddim", "scheduler": "normal"})
    assert (settings.values, settings.unsupported) == (VALUES | {"sampler": "ddim"}, ("scheduler",))
    settings = parse({"sampler": ["8", 0]}, n8=node("KSamplerSelect", sampler_name="ddpm"))
    assert (settings.values, settings.unsupported) == (VALUES | {"sampler": "ddpm"}, ())


@pytest.mark.parametrize("named", ["euler", "ddim_cfg_pp", ["8", 0], ["3", 0], 5, None, {"a": "ddim"}])
def test_any_other_sampler_is_named(named):
    settings = parse({"sampler_name": named}, n8=node("String", value="ddim"))
    assert (settings.values, settings.unsupported) == (VALUES, ("sampler_name",))


@pytest.mark.parametrize("first", [True, False])
def test_of_several_samplers_the_one_that_begins_empty_is_read(first):
    upscaled = node("LatentUpscale", samples=["3", 0], width=1024, height=1024)
    second = node("KSampler", **{**SAMPLER, "seed": 99, "steps": 5, "latent_image": ["20", 0]})
    added = {"20": upscaled, "21": second}
    nodes = {**added, **NODES} if first else {**NODES, **added}
    assert parse_comfyui_graph(nodes).values == VALUES


def test_a_picture_as_the_beginning_leaves_the_size_unread():
    settings = parse(n5=node("VAEEncode", pixels=["9", 0], vae=["4", 2]))
    assert settings.unread == ("width", "height")


@pytest.mark.parametrize(
    "nodes",
    [
        {"n6": node("A", conditioning=["6", 0])},
        {"n6": node("A", conditioning=["8", 0]), "n8": node("B", conditioning=["6", 0])},
        {"n6": node("Switch", input1=["8", 0], input2=["7", 0]), "n8": node("E", text="a barn")},
        {"n6": node("CLIPTextEncode", text=["404", 0])},
        {"n6": node("CLIPTextEncode", text=5)},
    ],
    ids=["own cycle", "cycle", "switch", "missing", "number"],
)
def test_a_text_that_is_not_found_is_named_and_empty(nodes):
    settings = parse(**nodes)
    assert (settings.values["prompt"], settings.unread) == ("", ("prompt",))
    assert "positive" not in settings.unsupported


@pytest.mark.parametrize("width", [2, 1000])
def test_a_graph_that_doubles_its_text_ends_within_the_bound(width, monkeypatch):
    visits = []
    visit = comfyui_graph._Graph._visit
    monkeypatch.setattr(comfyui_graph._Graph, "_visit", lambda graph: visits.append(1) or visit(graph))
    nodes = {f"n{k}": node("C", **{f"text_{i}": [str(k + 1), i] for i in range(width)}) for k in range(100, 150)}
    nodes["n150"] = node("E", text="x" * 9000)
    settings = parse({"positive": ["100", 0]}, **nodes)
    assert settings.unread == ("prompt",)
    assert len(visits) <= 3 * MAX_VISITS


def test_a_long_text_is_cut():
    assert len(parse(n6=node("E", text="x" * 10**6)).values["prompt"]) == MAX_TEXT_CHARS + 1


@pytest.mark.parametrize(("nodes", "negative"), [(2000, "fog"), (2001, "")])
def test_the_first_2000_nodes_of_a_graph_are_looked_at(nodes, negative):
    others = {f"other {k}": node() for k in range(nodes - len(NODES))}
    assert parse_comfyui_graph({**others, **NODES}).values.get("negative_prompt") == negative


@pytest.mark.parametrize("value", [{}, {"1": 5}, {"1": {"class_type": 5}}, {"1": node("KSampler")}])
def test_a_graph_without_a_sampler_gives_nothing(value):
    assert parse_comfyui_graph(value) is None


def test_nodes_of_any_form_do_no_harm():
    for odd in (None, 5, "x", [], {}, [[]], ["3"], ["3", 0], ["3", "0"], [3, 0], {"a": 1}, float("nan"), True):
        for name in NODES["3"]["inputs"]:
            parse({name: odd})
        parse(n5=node("E", width=odd, height=odd), n6=node("E", text=odd), n7=odd)


def test_a_graph_is_recognised_by_its_classes():
    assert is_graph(NODES)
    assert not is_graph({"prompt": "a"})
    assert load_json_object(json.dumps(NODES)) == NODES
