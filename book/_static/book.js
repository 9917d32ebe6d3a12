// Makes what the theme draws work with a screen reader and a keyboard.
(function () {
  "use strict";

  // Names that differ from the text one sees, lists that have no list items, a button without a name.
  function mendTheme() {
    document.querySelectorAll("summary[aria-label], .search-button-field[aria-label]").forEach(function (element) {
      element.removeAttribute("aria-label");
    });
    document.querySelectorAll(".bd-sidebar-primary summary").forEach(function (button) {
      button.setAttribute("aria-label", "Pages of " + button.closest("li").querySelector("a").textContent.trim());
    });
    document.querySelectorAll("dt.sig :is(dl, dd)").forEach(function (line) {
      line.setAttribute("role", "presentation");
    });
    document.querySelectorAll(".citation-list[role='list']").forEach(function (element) {
      element.removeAttribute("role");
    });
    document.querySelectorAll(".theme-switch-button svg").forEach(function (icon) {
      icon.setAttribute("aria-hidden", "true");
      icon.removeAttribute("role");
      icon.replaceChildren(...icon.querySelectorAll("path"));
    });
  }

  // What scrolls sideways must be reachable with the keyboard.
  function reachScrolled() {
    document.querySelectorAll(".bd-article div.math, .bd-article .output, .bd-article pre, " +
      ".pst-scrollable-table-container").forEach(function (box) {
      if (box.scrollWidth > box.clientWidth + 1) {
        box.setAttribute("tabindex", "0");
      }
    });
  }

  // Lines of code as elements: one that is too long for the window goes on below it, indented.
  function splitLines() {
    document.querySelectorAll(".bd-article div.highlight > pre").forEach(function (block) {
      var printed = block.closest(".cell_output") && block.textContent.match(/^.*\S {2,}\S.*$/gm);
      if (printed && printed.length > 1) { // columns: they scroll instead
        block.classList.add("columns");
      }
      var lines = block.innerHTML.replace(/\n$/, "").split("\n");
      block.innerHTML = lines.map(function (line) {
        var blank = line.match(/^(?:<span class="w">)?( *)(?:<\/span>)?/);
        return '<span class="line" style="--indent: ' + blank[1].length + '">' +
          (blank[1] && '<span class="indent">' + blank[1] + "</span>") +
          (blank[1] ? line.slice(blank[0].length) : line) + "\n</span>";
      }).join("");
    });
  }

  function mend() {
    mendTheme();
    reachScrolled();
  }

  // Mathematics comes in many small steps: look again when it has been quiet for a moment.
  var waiting;
  function mendSoon() {
    clearTimeout(waiting);
    waiting = setTimeout(mend, 50);
  }

  document.addEventListener("DOMContentLoaded", function () {
    splitLines();
    mend();
    new MutationObserver(mendSoon).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  window.addEventListener("resize", reachScrolled);

  // The first page: another sound is chosen, so the one before is no longer heard.
  document.addEventListener("change", function (event) {
    if (event.target.name === "front-sound") {
      document.querySelectorAll(".front audio").forEach(function (audio) { audio.pause(); });
    }
  });
})();
