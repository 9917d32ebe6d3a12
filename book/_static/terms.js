// Shows the definition of a glossary term when it is pointed at, reached by keyboard, or touched (book/_ext/terms.py).
(function () {
  "use strict";

  function furnish() {
    var data = document.getElementById("book-terms");
    if (!data) {
      return;
    }
    var terms = JSON.parse(data.textContent);
    var tip = document.createElement("div");
    tip.id = "term-tip";
    tip.setAttribute("role", "tooltip");
    tip.hidden = true;
    document.body.append(tip);
    var shown = null; // the link whose definition is seen
    var leaving; // a moment to move from the term to its definition

    function hide() {
      clearTimeout(leaving);
      if (shown) {
        shown.removeAttribute("aria-describedby");
        shown = null;
        tip.hidden = true;
      }
    }

    function hideSoon() {
      clearTimeout(leaving);
      leaving = setTimeout(hide, 250);
    }

    function show(link) {
      clearTimeout(leaving);
      if (shown === link) {
        return;
      }
      hide();
      shown = link;
      tip.innerHTML = terms[link.hash.slice(1)];
      tip.hidden = false;
      link.setAttribute("aria-describedby", tip.id);
      if (tip.querySelector(".math") && window.MathJax && window.MathJax.typesetPromise) {
        window.MathJax.typesetPromise([tip]).then(place);
      }
      place();
    }

    // Below the term, or above it if there is no room; never beyond the edges of the window.
    function place() {
      if (!shown) {
        return;
      }
      var line = shown.getClientRects()[0];
      var wide = document.documentElement.clientWidth;
      var left = Math.max(8, Math.min(line.left, wide - tip.offsetWidth - 8));
      var below = line.bottom + tip.offsetHeight + 8 < window.innerHeight;
      tip.style.left = left + window.scrollX + "px";
      tip.style.top = (below ? line.bottom + 4 : line.top - tip.offsetHeight - 4) + window.scrollY + "px";
    }

    document.querySelectorAll(".bd-article a.reference[href*='#term-']").forEach(function (link) {
      if (!(link.hash.slice(1) in terms)) {
        return;
      }
      link.classList.add("term");
      link.removeAttribute("title");
      link.addEventListener("pointerenter", function (event) {
        if (event.pointerType === "mouse") { show(link); }
      });
      link.addEventListener("pointerleave", function (event) {
        if (event.pointerType === "mouse") { hideSoon(); }
      });
      link.addEventListener("focus", function () { show(link); });
      link.addEventListener("blur", hide);
      var touched = false, wasShown = false;
      link.addEventListener("pointerdown", function (event) {
        touched = event.pointerType !== "mouse";
        wasShown = shown === link;
      });
      link.addEventListener("click", function (event) {
        if (touched && !wasShown) { // the first touch shows the definition, the second one follows the link
          event.preventDefault();
          show(link);
        }
        touched = false;
      });
    });
    tip.addEventListener("pointerenter", function () { clearTimeout(leaving); });
    tip.addEventListener("pointerleave", function (event) {
      if (event.pointerType === "mouse" && document.activeElement !== shown) { hideSoon(); }
    });
    document.addEventListener("keydown", function (event) {
      if (event.key === "Escape") { hide(); }
    });
    document.addEventListener("pointerdown", function (event) {
      if (shown && !tip.contains(event.target) && !shown.contains(event.target)) { hide(); }
    });
    window.addEventListener("resize", hide);
  }

  document.addEventListener("DOMContentLoaded", furnish);
})();
