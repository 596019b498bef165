// A button beside each command, which copies it. Without scripts, or where the
// clipboard is out of reach, the commands are still there to be selected.
"use strict";

if (navigator.clipboard) {
  for (const pre of document.querySelectorAll("pre")) {
    const box = document.createElement("div");
    box.className = "copy";
    pre.replaceWith(box);
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(pre.textContent.trim());
        button.textContent = "Copied";
      } catch {
        button.textContent = "Not copied";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
    box.append(pre, button);
  }
}
