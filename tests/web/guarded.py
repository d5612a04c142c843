"""A page in which nothing foreign may run, load, or take the place of what is the page's own."""

from typing import Any

from playwright.async_api import Browser, ConsoleMessage, Dialog

from tests.web.visit import DESK, Visit

WIRE = """
Object.defineProperty(window, "ran", { set: () => console.error("A script ran.") });
addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
    console.error(`The policy reports ${violatedDirective}: ${blockedURI}`));
"""
"""What it tells outlasts a reload, unlike what a window remembers."""

FOREIGN = """(root) => {
    const parts =
        "script, iframe, frame, object, embed, base, meta, link, style, animate, math, foreignObject";
    const places = "href src srcset action formaction xlink:href poster data background ping".split(" ");
    const ours = /^(https?:|mailto:|blob:|#|\\/(?!\\/)|data:image\\/(png|jpeg|webp|gif);base64,)/i;
    const isStrange = ({ name, value }) =>
        name.startsWith("on") || name === "srcdoc" || (places.includes(name) && !ours.test(value.trim()));
    return [...root.querySelectorAll("*")]
        .filter((node) => node.matches(parts) || [...node.attributes].some(isStrange))
        .map((node) => node.outerHTML.slice(0, 300));
}"""
"""Elements that an answer, a name or an error must not have become, or whose attributes they must not be."""

PARSED = """(texts) => {
    const parsed = document.implementation.createHTMLDocument().createElement("template");
    return texts.flatMap((text) => ((parsed.innerHTML = text), foreign(parsed.content)));
}"""


class Guarded(Visit):
    """`wrongs` also collects scripts that ran, dialogs, the policy's reports, and errors of the console."""

    async def watch(self) -> None:
        """Begins with the next page that is read."""
        await self.page.add_init_script(WIRE)
        self.page.on("console", lambda said: self._note(said.text, self._is_error(said)))
        self.page.on("dialog", self._dismiss)

    async def foreign(self) -> list[str]:
        """What stands on the page and is not the page's."""
        found: list[str] = await self.page.locator("body").evaluate(FOREIGN)
        return found

    async def parsed(self, texts: list[str]) -> list[str]:
        """The same of what this browser makes of these pieces of HTML."""
        script = f"(texts) => {{ const foreign = {FOREIGN}; return ({PARSED})(texts); }}"
        found: list[str] = await self.page.evaluate(script, texts)
        return found

    def _is_error(self, said: ConsoleMessage) -> bool:
        """What the browser says of a status of 400 and above is none."""
        return said.type == "error" and "Failed to load resource" not in said.text

    async def _dismiss(self, dialog: Dialog) -> None:
        self.wrongs.append(f"A dialog says {dialog.message!r}.")
        await dialog.dismiss()


async def guarded(browser: Browser, url: str, path: str = "/", **options: Any) -> Guarded:
    """The page at this path, watched from the beginning."""
    context = await browser.new_context(**DESK | options)
    context.set_default_timeout(10_000)
    visit = Guarded(await context.new_page(), url)
    await visit.watch()
    await visit.page.goto(url + path)
    return visit
