"""A click on its way: produced to Kafka, predicted by a worker process, seen in Chromium, opened as a journey."""

import re
import time
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaProducer
from selenium.webdriver import Chrome, Keys
from selenium.webdriver.common.by import By

from stream_app.producers.publish import encode
from stream_app.transport.connection import client_options
from tests.browser.test_live_page import console, no_console_error, size, text
from tests.kafka.workers import System, until, url_of

pytestmark = pytest.mark.browser

WARMING = 5
NEW_USERS = 5


async def click(producer: AIOKafkaProducer, system: System, user: str, number: int) -> None:
    """A click on the user's own product, now; returns when the broker has it."""
    body = {"action": "click", "user_id": user, "product_id": f"of-{user}", "event_id": f"{user}-{number}"}
    event = encode("clicks", {**body, "event_time": time.time_ns() // 1_000_000})
    await producer.send_and_wait(system.names[event.topic], event.value, key=event.key)


def shoppers(chromium: Chrome) -> set[str]:
    """Their names on the page, among the latest predictions."""
    return set(
        chromium.execute_script(
            "return [...document.querySelectorAll('#predictions tbody .name')].map((name) => name.textContent)"
        )
    )


async def test_a_produced_click_appears_and_leads_to_its_journey(
    chromium: Chrome, system: System, record_testsuite_property: Callable[[str, object], None]
) -> None:
    await system.create_topics()
    worker = system.start_worker()
    url = await until(lambda: worker.check() or url_of(worker), deadline_s=120)
    size(chromium, 1280, 1000)
    console(chromium)  # what earlier pages said
    chromium.get(url)
    try:
        await until(lambda: worker.check() or text(chromium, "#status") == "Ready", deadline_s=120)
        async with AIOKafkaProducer(**client_options(system.settings.broker)) as producer:
            for number in range(WARMING):
                await click(producer, system, "regular", number)
            clicks = "#types tr:nth-child(1) td:last-child"
            await until(lambda: text(chromium, clicks) == str(WARMING) and shoppers(chromium), deadline_s=60)
            took_s = []
            for user in (f"new-{number}" for number in range(NEW_USERS)):
                before = shoppers(chromium)
                start_s = time.monotonic()
                await click(producer, system, user, 0)
                (name,) = await until(lambda before=before: shoppers(chromium) - before, deadline_s=60, every_s=0.02)
                took_s.append(time.monotonic() - start_s)
                await journey_is_told(chromium, name, user)
        no_console_error(chromium)
    finally:
        chromium.get("about:blank")  # or the page would miss its worker while the next test runs
    record_testsuite_property("appeared_after_s", [round(each, 2) for each in took_s])
    print(f"\nappeared after {min(took_s):.2f} s, the slowest of {NEW_USERS} after {max(took_s):.2f} s")


async def journey_is_told(chromium: Chrome, name: str, user: str) -> None:
    """A click on the name shows what the user did and what decided the prediction; Escape leads back."""
    chromium.find_element(By.CSS_SELECTOR, f"[aria-label='Journey of shopper {name}']").click()
    await until(lambda: f"of-{user}" in text(chromium, "#journey-body"))
    steps = chromium.find_elements(By.CSS_SELECTOR, "#journey-body .steps li")
    assert [step.text.split("\n")[0].split()[0] for step in steps] == ["click"]
    assert re.search(r"behavior \d+%", text(chromium, "#journey-body .words"))
    assert chromium.find_element(By.CSS_SELECTOR, "#journey-body .shares span").size["width"] > 0
    chromium.switch_to.active_element.send_keys(Keys.ESCAPE)
    await until(lambda: not chromium.find_element(By.ID, "journey").is_displayed())
