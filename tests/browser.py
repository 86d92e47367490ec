"""The live page in a real browser: Debian's chromium, driven over WebDriver.

Every test ends with the same two questions: has the browser complained, and has any request left
for another host? See `LivePage.end`.
"""

import base64
import json
import os
import re

from selenium import webdriver
from selenium.common.exceptions import TimeoutException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select, WebDriverWait

from processes import ROOT, debian

# No request to the makers of the browser; and a sandbox does not work as root.
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
         "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-lcd-text")
SCREENSHOTS = ROOT / "tests" / "http" / "live" / "screenshots"
DESKTOP, PHONE = (1040, 640), (390, 800)


class LivePage:
    """The page of one router in a browser of its own; `find` and `text` take CSS selectors."""

    def __init__(self, running, folder):
        self.url, self.complaints_allowed, self.elsewhere = running.url, r"$^", []
        options = webdriver.ChromeOptions()
        options.binary_location = debian("chromium")
        for flag in (*FLAGS, f"--user-data-dir={folder}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options, webdriver.ChromeService(debian("chromedriver")))
        self.resize(*DESKTOP)
        self.driver.get(self.url + "/live")

    def resize(self, width, height):
        self._tell("Emulation.setDeviceMetricsOverride", width=width, height=height,
                   deviceScaleFactor=1, mobile=width < 700)

    def prefer(self, scheme):
        self._tell("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])

    def _tell(self, command, **parameters):
        return self.driver.execute_cdp_cmd(command, parameters)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        """The texts of all elements, at one moment: rows come and go while we look."""
        return self.driver.execute_script(
            "return Array.from(document.querySelectorAll(arguments[0]), e => e.innerText)",
            selector)

    def wait(self, condition, seconds=60):
        """Wait until condition() is true; returns what it returned."""
        try:
            return WebDriverWait(self.driver, seconds, 0.05).until(lambda _: condition())
        except TimeoutException as error:
            shown = self.find("body").text
            raise TimeoutException(f"after {seconds} s the page shows:\n{shown}") from error

    def wait_for(self, selector, pattern=""):
        """Wait for an element whose text matches; returns the text."""
        def found():
            return [text for text in self.texts(selector) if re.search(pattern, text)]
        return self.wait(found)[0]

    def press(self, *keys):
        self.driver.switch_to.active_element.send_keys(*keys)

    def focused(self):
        return self.driver.switch_to.active_element

    def choose(self, selector, text):
        Select(self.find(selector)).select_by_visible_text(text)

    def open(self, pattern):
        """Open the newest message whose row matches; returns the steps of its ladder."""
        self.show("messages")
        self.click("#messages .row", pattern)
        return self.steps()

    def open_call(self, pattern, which=":not(.open)"):
        """Open the newest call whose row matches, when it has its answer; or one that is under
        way (".open"). Returns the text of its details."""
        self.show("calls")
        self.click(f"#calls .call{which}", pattern)
        return self.find("#details").text

    def show(self, name):
        self.find(f"#show-{name}").click()

    def click(self, selector, pattern):
        """Click on the last of these elements whose text matches, when there is one."""
        self.wait(lambda: self.driver.execute_script(
            "const found = Array.from(document.querySelectorAll(arguments[0])).findLast("
            "one => one.innerText.match(new RegExp(arguments[1], 'm'))); found?.click(); "
            "return Boolean(found)",
            selector, pattern))

    def steps(self):
        """The ladder: [(side, direction, text, [marks])]."""
        return self.driver.execute_script("""
            return Array.from(document.querySelectorAll("#details .step"), (step) => {
              const [time, left, right] = step.children, hop = left.firstChild ? left : right;
              return [hop === left ? "client" : "server", hop.querySelector(".arrow").classList[1],
                      Array.from(hop.querySelector(".label").childNodes, (n) => n.textContent)
                        .join("").trim(),
                      Array.from(hop.querySelectorAll(".mark"), (mark) => mark.textContent)];
            })""")

    def screenshot(self, name):
        """What the page looks like, checked. UPDATE_SCREENSHOTS=1 puts it into the README."""
        png = base64.b64decode(self._tell("Page.captureScreenshot", format="png")["data"])
        assert png.startswith(b"\x89PNG") and len(png) > 15_000  # an empty one has 5,000
        if os.environ.get("UPDATE_SCREENSHOTS"):
            SCREENSHOTS.mkdir(exist_ok=True)
            (SCREENSHOTS / name).write_bytes(png)
        assert (SCREENSHOTS / name).stat().st_size < 150_000

    def heap(self):
        """The bytes that its scripts use."""
        self._tell("HeapProfiler.collectGarbage")
        return self._tell("Runtime.getHeapUsage")["usedSize"]

    def end(self):
        try:
            complaints = [entry["message"] for entry in self.driver.get_log("browser")
                          if not re.search(self.complaints_allowed, entry["message"])]
            urls = [event["params"]["request"]["url"] for event in self._events()
                    if event["method"] == "Network.requestWillBeSent"]
        finally:
            self.driver.quit()
        assert complaints == []
        assert self.url + "/live/events" in urls
        assert [url for url in urls if re.match("(http|ws)s?:", url)
                and not url.startswith((self.url + "/", *self.elsewhere))] == []

    def _events(self):
        return [json.loads(entry["message"])["message"]
                for entry in self.driver.get_log("performance")]
