"""Events of the "How it works" tab and the handlers they call."""

from __future__ import annotations

from typing import Any

import gradio as gr

from wuerst_demo.web.compare.sessions import ComparisonSessions
from wuerst_demo.web.context import WebContext
from wuerst_demo.web.explain import handlers
from wuerst_demo.web.explain.guidance_handlers import GuidanceHandlers
from wuerst_demo.web.explain.layout import ExplainTab
from wuerst_demo.web.explain.report import render_report
from wuerst_demo.web.explain.runner import ExplanationSessions
from wuerst_demo.web.explain.word_handlers import WordHandlers
from wuerst_demo.web.explain.word_report import render_word_report
from wuerst_demo.web.generate.layout import GenerateTab
from wuerst_demo.web.generate.variation import GENERATE_VARIATION_JS
from wuerst_demo.web.shared.event_options import (
    IDENTIFY_CLIENT_JS,
    IMMEDIATE_EVENT,
    PRIVATE_EVENT,
    REATTACH_EVENT,
)

MAX_CONCURRENT_EXPLANATIONS = 8


def connect_events(
    page: gr.Blocks,
    context: WebContext,
    tab: ExplainTab,
    generate_tab: GenerateTab,
    tabs: gr.Tabs,
    live: bool = False,
) -> None:
    """Connects the tab's events. To be called in the page's context. `live`: whether there are live pictures, which the
    editor of a composition needs."""
    sessions = ExplanationSessions(context.engine, lambda results: render_report(results[0], editor=live))
    word_sessions = ExplanationSessions(context.engine, render_word_report)
    newest_images, explain = generate_tab.newest_images, handlers.ExplainHandlers(tab, sessions, word_sessions)
    newest_images.change(
        handlers.update_choices,
        [newest_images, tab.image_choice, tab.reported_request],
        [tab.image_choice, tab.start, tab.status],
        **IMMEDIATE_EVENT,
    )
    explanations: list[Any] = [
        trigger(
            handler,
            inputs_kwargs={
                **generate_tab.client_inputs,
                "position": tab.image_choice,
                "newest_images": newest_images,
                "reported": tab.reported_request,
            },
            outputs=tab.view_outputs,
            js=IDENTIFY_CLIENT_JS,
            concurrency_id="explaining",
            concurrency_limit=MAX_CONCURRENT_EXPLANATIONS,
            **PRIVATE_EVENT,
        )
        for trigger, handler in (
            (tab.start.click, explain.explain),
            (tab.container.select, explain.explain_new_image),
        )
    ]
    page_load = page.load(
        explain.load_page,
        [*generate_tab.client_inputs.values()],
        tab.view_outputs,
        **REATTACH_EVENT,
    )
    tab.connect_stop(sessions, generate_tab.client_inputs.values())
    tab.reset_buttons_after(*explanations, page_load)
    _connect_words(page, context, tab, generate_tab, word_sessions)
    _connect_guidance(page, context, tab, generate_tab)
    recomposed = tab.report.submit(
        handlers.CompositionHandlers(context.limits, tab, generate_tab, tabs).take,
        None,
        [tabs, tab.status, *generate_tab.setting_inputs],
        **IMMEDIATE_EVENT,
    )
    variation = [generate_tab.variation.value]
    recomposed.then(None, variation, None, js=GENERATE_VARIATION_JS, **PRIVATE_EVENT)


def _connect_words(
    page: gr.Blocks, context: WebContext, tab: ExplainTab, generate_tab: GenerateTab, sessions: ExplanationSessions
) -> None:
    section, client = tab.words, generate_tab.client_inputs
    words = WordHandlers(context.limits, section, sessions)
    comparison = gr.on(
        [section.start.click, section.prompt.submit],
        words.compare,
        [*client.values(), section.prompt, tab.reported_request],
        section.view_outputs,
        js=IDENTIFY_CLIENT_JS,
        trigger_mode="always_last",  # or what is entered while another comparison ends is ignored
        concurrency_limit=MAX_CONCURRENT_EXPLANATIONS,
        **PRIVATE_EVENT,
    )
    page_load = page.load(
        words.load_page,
        [*client.values()],
        section.view_outputs,
        **REATTACH_EVENT,
    )
    section.connect_stop(sessions, client.values())
    section.reset_buttons_after(comparison, page_load)


def _connect_guidance(page: gr.Blocks, context: WebContext, tab: ExplainTab, generate_tab: GenerateTab) -> None:
    section, client, sessions = tab.guidance, generate_tab.client_inputs, ComparisonSessions(context)
    guidance = GuidanceHandlers(context, section, sessions)
    comparison = section.start.click(
        guidance.compare,
        [*client.values(), tab.reported_request],
        section.view_outputs,
        js=IDENTIFY_CLIENT_JS,
        concurrency_limit=MAX_CONCURRENT_EXPLANATIONS,
        **PRIVATE_EVENT,
    )
    page_load = page.load(guidance.load_page, [*client.values()], section.view_outputs, **REATTACH_EVENT)
    section.connect_stop(sessions, client.values())
    section.enable_after(comparison)
    section.reset_buttons_after(comparison, page_load)
