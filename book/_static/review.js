/* Remembers which questions were answered (in this browser only), and brings them back after 1, 3, 7 and 21 days.

Every chapter loads this file: the first choice that is opened counts as the answer. The page "Review" also loads
questions.js (ci/questions.py) and shows what is due. */

"use strict";

(() => {
  const KEY = "book-review"; // label -> {stage, due}: index into DAYS, and the time in milliseconds
  const DAYS = [1, 3, 7, 21];
  const DAY = 24 * 60 * 60 * 1000;

  const read = () => {
    try {
      return JSON.parse(localStorage.getItem(KEY)) || {};
    } catch {
      return {}; // no storage allowed, or not ours: the questions work, only nothing is remembered
    }
  };
  const write = (memory) => {
    try {
      localStorage.setItem(KEY, JSON.stringify(memory));
      return true;
    } catch {
      return false;
    }
  };

  /* A new question comes back after a day, whatever the answer. One that is due moves on, or begins again. */
  const remember = (label, right) => {
    const memory = read();
    const known = memory[label];
    if (known && known.due > Date.now()) return known;
    const stage = known && right ? Math.min(known.stage + 1, DAYS.length - 1) : 0;
    memory[label] = { stage, due: Date.now() + DAYS[stage] * DAY };
    write(memory);
    return memory[label];
  };

  /* Call `answered(label, right)` for the first choice that is opened in each question below `root`. */
  const listen = (root, answered) => {
    for (const question of root.querySelectorAll(".quiz-question")) {
      const choices = [...question.querySelectorAll(".quiz-choice")];
      for (const choice of choices) {
        choice.addEventListener("toggle", () => {
          if (!choice.open || question.dataset.answered) return;
          question.dataset.answered = "yes";
          answered(question.id, choice.dataset.right === "true", question);
        });
      }
    }
  };

  const element = (name, text, attributes = {}) => {
    const made = Object.assign(document.createElement(name), attributes);
    made.textContent = text;
    return made;
  };

  const forget = (memory, show) => {
    const button = element("button", "Forget my answers", { type: "button" });
    button.addEventListener("click", () => {
      if (!confirm("Forget which questions you have answered?")) return;
      for (const label of Object.keys(memory)) delete memory[label];
      write(memory);
      show();
    });
    return button;
  };

  const showReview = (page, questions) => {
    const memory = read();
    const known = Object.keys(memory).filter((label) => label in questions);
    const due = known.filter((label) => memory[label].due <= Date.now());
    page.replaceChildren();
    if (!write(memory)) {
      page.append(element("p", "This browser does not let the page store anything, so no answer is remembered."));
    } else if (!known.length) {
      page.append(
        element("p", "You have not answered any question yet. They stand near the end of every chapter; those you answer come back here.")
      );
    } else if (!due.length) {
      const next = new Date(Math.min(...known.map((label) => memory[label].due)));
      page.append(element("p", `Nothing is due. ${known.length} answered; the next comes back on ${next.toLocaleDateString()}.`));
    } else {
      page.append(element("p", `${due.length} due of ${known.length} answered.`));
    }
    const list = element("div", "", { className: "quiz" });
    for (const label of due) {
      const { html, chapter, title } = questions[label];
      const item = element("div", "");
      item.innerHTML = html; // made by the build from the chapters
      const place = element("p", "");
      place.append(element("a", title, { href: `../notebooks/${chapter}.html` }));
      item.append(place);
      list.append(item);
    }
    page.append(list);
    listen(list, (label, right, question) => {
      const { due: when } = remember(label, right);
      const text = `${right ? "Right" : "Not right"}: it comes back on ${new Date(when).toLocaleDateString()}.`;
      question.append(element("p", text, { className: "quiz-next" }));
    });
    if (known.length) page.append(forget(memory, () => showReview(page, questions)));
  };

  addEventListener("DOMContentLoaded", () => {
    const page = document.getElementById("questions-due");
    if (page) showReview(page, window.bookQuestions || {});
    else listen(document, remember);
  });
})();
