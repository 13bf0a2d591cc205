"""The settings that other programs write, each as in a small file of that program."""

import json
from pathlib import Path

import pytest

from wuerst_demo.errors import MetadataError
from wuerst_demo.images.foreign_metadata import MAX_KEYS, parse_foreign_texts
from wuerst_demo.images.metadata import read_image_settings

FOLDER = Path(__file__).parents[1] / "fixtures" / "foreign_images"
PAIRS = {"prior_steps": 20, "prior_guidance": 7, "seed": 1234567, "width": 256, "height": 384}
NAMES = ("Sampler", "Schedule type", "Model hash", "VAE hash", "VAE", "Clip skip")
MODULES = ("Module 1", "Module 2")
SMALL = {"width": 256, "height": 256}
GRAPH = {"prior_steps": 20, "prior_guidance": 8, "seed": 156680208700286, **SMALL}
GRAPH_NAMES = ("sampler_name", "scheduler", "denoise")
CASCADE = {"prior_steps": 20, "prior_guidance": 4, "seed": 42, "width": 1024, "height": 1024}
FOOOCUS = {"prior_steps": 30, "prior_guidance": 4, "width": 256, "height": 384}
RAW_PROMPTS = ("Raw prompt", "Raw negative prompt")
FOOOCUS_NAMES = (
    *("adm_guidance", "base_model_hash", "full_negative_prompt", "full_prompt", "metadata_scheme", "performance"),
    *("refiner_switch", "sampler", "scheduler", "sharpness", "styles", "vae"),
)
WEIGHTS = "(a red barn:1.3), ((hill)), [clouds], (sun:0.8), <lora:farmstyle:0.7>"


def a1111(prompt, negative="", more=(), **changes):
    return prompt, negative, PAIRS | changes, "mixofthings_v3", "v1.10.1", (*NAMES, *more)


def comfyui(prompt="a red barn", negative="fog", values=None, more=(), model="mix.safetensors"):
    return prompt, negative, GRAPH | (values or {}), model, "ComfyUI", (*GRAPH_NAMES, *more)


READ = {
    "a1111.jpg": a1111("a red barn", "fog"),
    "a1111.webp": a1111("a red barn", "fog"),
    "a1111_break.png": a1111("a red barn BREAK a green hill AND a lake :0.5"),
    "a1111_cfg_int_30.png": a1111("a red barn", prior_guidance=30),
    "a1111_civitai_resources.png": (
        "a red barn",
        "fog",
        {"prior_steps": 25, "prior_guidance": 4.5, "seed": 77, **SMALL},
        "",
        "",
        ("Sampler", "Clip skip", "Created Date", "Civitai resources", "Civitai metadata"),
    ),
    "a1111_crlf.png": a1111("a red barn", "fog"),
    "a1111_empty_prompt.png": a1111(""),
    "a1111_empty_prompt_negative.png": a1111("", "fog"),
    "a1111_escaped_weight.png": a1111(r"(hat \(pointed\):1.2), a red barn"),
    "a1111_escapes.png": a1111(r"a robot \(toy\), a barn"),
    "a1111_extra_quoted_newline.png": a1111("a red barn", "fog", ("Template",)),
    "a1111_hires_prompt.png": a1111("a red barn", "", ("Hires prompt", "Hires upscale", "Hires upscaler")),
    "a1111_lora_hashes.png": a1111("a red barn <lora:farm style (old):1>", "", ("Lora hashes", "TI hashes")),
    "a1111_multiline.png": a1111("a red barn,\non a hill,\n\nat noon", "fog,\nrain"),
    "a1111_no_negative.png": a1111("a red barn on a hill"),
    "a1111_plain.png": a1111("a red barn on a hill", "fog, rain"),
    "a1111_seed_big.png": a1111("a red barn", seed=9007199254740993),
    "a1111_size_512.png": a1111("a red barn", width=512, height=768),
    "a1111_steps_150.png": a1111("a red barn", prior_steps=150),
    "a1111_text_after_pixels.png": a1111("a red barn"),
    "a1111_trailing_newline.png": a1111("a red barn", "fog"),
    "a1111_umlaut_latin1.png": a1111("eine Mühle über dem Fluß, café"),
    "a1111_unicode_itxt.png": a1111("赤い納屋 🐄, красный", "霧"),
    "a1111_weights.png": a1111(WEIGHTS, "(fog:1.4), (worst quality, low quality:1.2)"),
    "a1111_ztxt.png": a1111("a red barn"),
    "comfy_cascade.png": comfyui(values=CASCADE, model="stable_cascade_stage_c.safetensors"),
    "comfy_cascade_b_first.png": comfyui(values=CASCADE, model="stable_cascade_stage_c.safetensors"),
    "comfy_default.png": comfyui(),
    "comfy_flux_template.png": comfyui(values={"seed": 42, "prior_guidance": 1}, more=("guidance",)),
    "comfy_image_saver.png": ("a red barn", "fog", GRAPH | {"seed": 42}, "mix", "ComfyUI", ("Sampler",)),
    "comfy_itxt.png": comfyui("赤い納屋"),
    "comfy_nan.png": comfyui(),
    "comfy_sampler_custom_advanced.png": (
        "a red barn",
        "",
        {"seed": 42, "prior_steps": 20, **SMALL},
        "flux1-dev.safetensors",
        "ComfyUI",
        ("sampler", "guidance"),
    ),
    "comfy_sdxl_text.png": comfyui(),
    "comfy_small_seed.png": comfyui(values={"seed": 42}),
    "comfy_text_linked.png": comfyui(),
    "dynamic_prompts_template_behind.png": a1111("a red barn", "fog", ("Template", "Negative Template")),
    "fooocus.png": (
        "a red barn",
        "fog",
        FOOOCUS | {"seed": 12345678901234567},
        "mix",
        "Fooocus v2.5.5",
        FOOOCUS_NAMES,
    ),
    "fooocus_a1111_scheme.png": (
        "a red barn, cinematic",
        "fog, blurry",
        FOOOCUS | {"seed": 1234567890123456789},
        "mix",
        "Fooocus v2.5.5",
        ("Sampler", "Sharpness", "ADM Guidance", "Model hash", "Performance", "Scheduler", "VAE", *RAW_PROMPTS),
    ),
    "fooocus_mre_comment.png": (
        "a red barn",
        "fog",
        {"seed": 8, "prior_steps": 30, "prior_guidance": 7, **SMALL},
        "",
        "Fooocus 1.0.43 MRE",
        (),
    ),
    "forge_flux.png": (
        "a red barn",
        "",
        {"prior_steps": 20, "prior_guidance": 1, "seed": 11, **SMALL},
        "flux1-dev-bnb",
        "f2.0.1v1.10.1-previous",
        (*NAMES[:2], "Distilled CFG Scale", "Model hash", "Beta schedule alpha", "Diffusion in Low Bits", *MODULES),
    ),
    "invokeai_dream.png": (
        "a red barn",
        "fog",
        {"prior_steps": 25, "seed": 77, "prior_guidance": 7.5, **SMALL},
        "",
        "InvokeAI",
        ("-A",),
    ),
    "invokeai_metadata.png": (
        "a red barn, hill++",
        "fog",
        {"prior_steps": 25, "seed": 2507332253, "prior_guidance": 7.5, **SMALL},
        "mix",
        "InvokeAI 5.4.3",
        ("generation_mode", "rand_device", "scheduler"),
    ),
    "midjourney.png": ("a red barn on a hill", "", {}, "", "Midjourney", ("--ar", "--v")),
    "prompt_key_plain_text.png": ("a red barn on a hill", "", {}, "", "", ()),
    "sdcpp.png": (
        "a red barn",
        "fog",
        {"prior_steps": 20, "prior_guidance": 7, "seed": 42, **SMALL},
        "mix.safetensors",
        "stable-diffusion.cpp",
        ("Guidance", "Eta", "RNG", "Sampler"),
    ),
    "sdnext.png": (
        "a red barn",
        "",
        {"prior_steps": 20, "prior_guidance": 6, "seed": 12, **SMALL},
        "mix",
        "SD.Next 0c7038e",
        ("Sampler", "Pipeline", "Operations", "Model hash", "Styles"),
    ),
    "swarmui.png": (
        "a red barn",
        "fog",
        {"prior_steps": 20, "prior_guidance": 7, "seed": 581626448, **SMALL},
        "mix",
        "SwarmUI 0.9.7.0",
        ("images", "aspectratio", "sampler"),
    ),
    "utf8_in_text_umlaut.png": a1111("eine Mühle"),
}
NOT_READ = {
    "a1111_grid_none.png": ("settings in the picture are not understood", "parameters: None"),
    "comfy_workflow_only.png": ("a workflow but not the settings of its run", 'workflow: {"nodes": [{"id": 3, "type"'),
    "exif_chunk_only.png": ("settings in the picture are not understood", "Description: a red barn"),
    "jpeg_named.png": ("contains no settings", ""),
    "no_text.png": ("contains no settings", ""),
}


def test_the_table_names_every_file():
    assert READ.keys() | NOT_READ.keys() == {path.name for path in FOLDER.iterdir()}


@pytest.mark.parametrize("name", READ)
def test_a_file_of_another_program_is_read(name):
    prompt, negative, numbers, checkpoint, program, unsupported = READ[name]
    settings = read_image_settings(FOLDER / name)
    assert settings.values == {"prompt": prompt, "negative_prompt": negative, **numbers}
    assert (settings.checkpoint, settings.program, settings.unsupported) == (checkpoint, program, unsupported)
    assert settings.unread == ()


@pytest.mark.parametrize("name", NOT_READ)
def test_a_file_without_settings_is_rejected_truthfully_with_its_text(name):
    says, text = NOT_READ[name]
    with pytest.raises(MetadataError, match=says) as caught:
        read_image_settings(FOLDER / name)
    assert caught.value.text.startswith(text)
    assert bool(caught.value.text) == bool(text)


def read(**texts):
    settings = parse_foreign_texts({name.replace("__", " "): text for name, text in texts.items()})
    return settings and (dict(settings.values), settings.program, settings.unsupported)


BARN = {"prompt": "a barn", "negative_prompt": "fog", "seed": 5, "prior_steps": 28, "width": 512, "height": 768}


def test_novelai_is_read():
    comment = {"prompt": "a barn", "uc": "fog", "steps": 28, "scale": 5.5, "seed": 5, "width": 512, "height": 768}
    comment["sampler"] = "k_euler"
    texts = {"Description": "a barn", "Software": "NovelAI", "Source": "Stable Diffusion XL 1A", "Title": "x"}
    values, program, unsupported = read(**texts, Comment=json.dumps(comment))
    assert (values, program, unsupported) == (BARN | {"prior_guidance": 5.5}, "NovelAI", ("sampler",))


@pytest.mark.parametrize(
    ("texts", "sampler", "unsupported"),
    [
        ({"invokeai_metadata": '{"positive_prompt": "a barn", "seed": 5, "scheduler": "ddim"}'}, "ddim", ()),
        ({"invokeai_metadata": '{"positive_prompt": "a barn", "seed": 5, "scheduler": "ddpm"}'}, "ddpm", ()),
        ({"parameters": '{"prompt": "a barn", "sampler": "ddim", "scheduler": "karras"}'}, "ddim", ("scheduler",)),
        (
            {"parameters": '{"prompt": "a barn", "scheduler": "ddim_uniform", "sampler": "ddim"}'},
            "ddim",
            ("scheduler",),
        ),
        ({"parameters": '{"prompt": "a barn", "sampler": "euler"}'}, None, ("sampler",)),
        ({"parameters": '{"prompt": "a barn", "sampler": ["ddim"]}'}, None, ("sampler",)),
        ({"Dream": '"a barn" -s 25 -A ddim'}, "ddim", ()),
        ({"Dream": '"a barn" -s 25 -A k_euler'}, None, ("-A",)),
    ],
)
def test_a_sampler_that_means_the_same_is_read_and_any_other_named(texts, sampler, unsupported):
    values, _, rest = read(**texts)
    assert (values.get("sampler"), rest) == (sampler, unsupported)


def test_draw_things_is_read_from_xmp():
    record = {"c": 'a "barn"', "uc": "fog", "seed": 5, "steps": 28, "scale": 5.5, "size": "512x768", "v2": {"seed": 9}}
    packed = json.dumps(record).replace('"', "&quot;")
    xmp = f'<x><exif:UserComment><rdf:Alt><rdf:li xml:lang="x">{packed}</rdf:li></rdf:Alt></exif:UserComment></x>'
    values, program, _ = read(**{"XML:com.adobe.xmp": xmp})
    assert (values, program) == (BARN | {"prompt": 'a "barn"', "prior_guidance": 5.5}, "Draw Things")


@pytest.mark.parametrize(
    "texts",
    [
        {"prompt": "a barn", "negative_prompt": "fog", "seed": "5", "num_inference_steps": "28"}
        | {"width": "512", "height": "768", "guidance_scale": "5.5", "use_stable_diffusion_model": "mix"},
        {"Prompt": "a barn", "Negative Prompt": "fog", "Seed": "5", "Steps": "28", "Width": "512", "Height": "768"}
        | {"Guidance Scale": "5.5", "Stable Diffusion model": "mix"},
    ],
)
def test_easy_diffusion_is_read_from_one_text_a_setting(texts):
    assert read(**texts) == (BARN | {"prior_guidance": 5.5}, "Easy Diffusion", ())


def test_invokeai_2_is_read():
    image = {"prompt": [{"prompt": "a barn [fog]", "weight": 1}], "steps": 28, "seed": 5, "width": 512, "height": 768}
    record = {"model": "stable diffusion", "app_version": "2.3.5", "image": image}
    assert read(**{"sd-metadata": json.dumps(record)}) == (BARN, "InvokeAI 2.3.5", ())


@pytest.mark.parametrize(
    "texts",
    [
        {"prompt": "a barn", "negative_prompt": "fog", "id": "0", "type": "txt2img", "is_intermediate": False},
        {"positive_conditioning": "a barn", "negative_conditioning": "fog", "type": "t2l"},
    ],
)
@pytest.mark.parametrize("in_node", [True, False])
def test_the_betas_of_invokeai_3_are_read(texts, in_node):
    record = {**texts, "steps": 28, "seed": 5, "width": 512, "height": 768, "strength": 0.7}
    record = {"session_id": "0", "node": record} if in_node else record
    assert read(invokeai=json.dumps(record)) == (BARN, "InvokeAI", ("strength",))


def test_texts_that_a_beta_of_invokeai_3_does_not_give_are_named():
    node = {"positive_conditioning": {"conditioning_name": "x"}, "negative_conditioning": {}, "seed": 5}
    settings = parse_foreign_texts({"invokeai": json.dumps({"session_id": "0", "node": node})})
    assert settings.unread == ("prompt", "negative_prompt")


def test_fooocus_2_1_is_read_by_its_labels():
    record = {"Prompt": "a barn", "Negative Prompt": "fog", "Resolution": "(512, 768)", "Steps": 28, "Seed": 5}
    record |= {"ADM Guidance": "(1.5, 0.8, 0.3)", "Version": "v2.1.860"}
    assert read(parameters=json.dumps(record)) == (BARN, "Fooocus v2.1.860", ("ADM Guidance",))


def test_midjourneys_flags_never_stay_in_the_prompt():
    text = "a barn --no fog, rain --seed 5 --ar 3:2 Job ID: 00000000-0000-0000-0000-000000000000"
    values = {"prompt": "a barn", "negative_prompt": "fog, rain", "seed": 5}
    assert read(Description=text) == (values, "Midjourney", ("--ar",))
    assert read(Description="a barn --ar 3:2") is None  # nothing shows that it is Midjourney's


@pytest.mark.parametrize("dashes", ["--", "\N{EM DASH}"])
def test_midjourneys_flags_are_found_behind_any_dash_and_in_xmp(dashes):
    text = f"a barn {dashes}no fog {dashes}no rain {dashes}seed 5 Job ID: 00000000-0000-0000-0000-000000000000"
    values = {"prompt": "a barn", "negative_prompt": "fog, rain", "seed": 5}
    assert read(Description=text) == (values, "Midjourney", ())
    xmp = f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></dc:description>'
    assert read(**{"XML:com.adobe.xmp": xmp}) == (values, "Midjourney", ())


def test_novelais_texts_in_one_are_read():
    comment = {"prompt": "a barn", "uc": "fog", "steps": 28, "seed": 5, "width": 512, "height": 768}
    texts = {"Description": "a barn", "Software": "NovelAI", "Source": "V4", "Comment": json.dumps(comment)}
    assert read(parameters=json.dumps(texts)) == (BARN, "NovelAI", ())


def test_one_text_a_setting_without_a_programs_name_is_nobodys():
    texts = {"prompt": "a barn", "negative-prompt": "fog", "seed": "5", "steps": "28", "scale": "5.5"}
    values = {"prompt": "a barn", "negative_prompt": "fog", "seed": 5, "prior_steps": 28, "prior_guidance": 5.5}
    assert read(**texts) == (values, "", ())
    assert read(prompt="a barn", seed="5", num_inference_steps="28")[1] == ""


@pytest.mark.parametrize("line", ["steps: 28, sampler: x, seed: 5, size: 512x768", "seed: 5, STEPS: 28, Size: 512x768"])
def test_settings_in_small_letters_never_land_in_a_prompt(line):
    assert read(parameters=f"a barn\nnegative prompt: fog\n{line}")[0] == BARN


def test_a_number_in_small_letters_alone_stays_in_the_prompt():
    text = "a stair,\nsteps: 5, of marble"
    assert read(parameters=text)[0] == {"prompt": text, "negative_prompt": ""}


@pytest.mark.parametrize(
    "form", ["<exif:UserComment>{}</exif:UserComment>", '<rdf:Description exif:UserComment="{}"/>']
)
def test_parameters_in_xmp_are_read(form):
    text = "a barn\nNegative prompt: fog\nSteps: 28, Seed: 5, Size: 512x768, Version: &quot;v1&quot;"
    assert read(**{"XML:com.adobe.xmp": form.format(text)}) == (BARN, "v1", ())


def test_comfyui_pictures_of_model_sites_are_read():
    nodes = {"1": {"class_type": "resource-stack", "inputs": {}}}
    meta = {"prompt": "a barn", "negativePrompt": "fog", "steps": 28, "seed": 5, "width": 512, "height": 768}
    assert read(parameters=json.dumps({**nodes, "extraMetadata": json.dumps(meta)})) == (BARN, "", ())


def test_a_random_seed_of_another_program_is_left_open():
    assert read(parameters="a barn\nSteps: 20, Seed: -1")[0]["seed"] is None
    assert read(parameters='{"prompt": "a barn", "seed": -1}')[0]["seed"] is None


@pytest.mark.parametrize("value", [["a"], {"a": 1}, 5, True])
def test_a_prompt_that_is_no_text_is_named_and_never_kept_from_before(value):
    settings = parse_foreign_texts({"parameters": json.dumps({"prompt": value, "seed": 5})})
    assert settings.values == {"prompt": "", "negative_prompt": "", "seed": 5}
    assert settings.unread == ("prompt",)


@pytest.mark.parametrize("text", ["{}", "[]", '{"a": 1}', '{"prompt', '{"1": {}}'])
def test_json_without_settings_is_nobodys(text):
    assert read(Comment=text) is None
    assert read(prompt=text) is None


def test_an_object_with_too_many_entries_is_read_from_its_beginning():
    record = {"prompt": "a barn", **{f"k{number}": 1 for number in range(10 * MAX_KEYS)}}
    assert len(read(parameters=json.dumps(record))[2]) == MAX_KEYS - 1
