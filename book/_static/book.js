// Makes what the theme and the widgets draw work from this host alone, and with a screen reader and a keyboard.
(function () {
  "use strict";

  // Read by require.js, which is loaded after this: where the widget manager's fonts are.
  var here = new URL(".", document.currentScript.src).href;
  window.require = { paths: { "@jupyter-widgets/html-manager/dist": here + "vendor/html-manager" } };

  // The widget manager asks MathJax for mathematics in the words of its version 2.
  function translateMathJax() {
    if (window.MathJax && window.MathJax.typesetPromise && !window.MathJax.Hub) {
      window.MathJax.Hub = {
        Queue: function (call) {
          window.MathJax.typesetPromise([call[2]]);
        },
      };
    }
  }

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

  // A slider's handle has no name and no spoken value of its own: it gets the label and the text beside it.
  function nameSliders() {
    document.querySelectorAll(".widget-slider [role='slider']").forEach(function (handle) {
      var slider = handle.closest(".widget-slider");
      var label = slider.querySelector(".widget-label");
      var value = slider.querySelector(".widget-readout");
      handle.setAttribute("aria-label", label ? label.textContent.trim() : "");
      handle.setAttribute("aria-valuetext", value ? value.textContent.trim() : "");
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

  function mend() {
    mendTheme();
    nameSliders();
    reachScrolled();
  }

  // Mathematics and widgets come in many small steps: look again when it has been quiet for a moment.
  var waiting;
  function mendSoon() {
    clearTimeout(waiting);
    waiting = setTimeout(mend, 50);
  }

  document.addEventListener("DOMContentLoaded", function () {
    translateMathJax();
    mend();
    new MutationObserver(mendSoon).observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  window.addEventListener("resize", reachScrolled);
})();
