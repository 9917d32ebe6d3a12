"""The page's reading of a decision, run by Node.js, against Python's. What surrounds it is tested in the browser."""

import json
import shutil
import subprocess
from dataclasses import asdict

import pytest
import torch

from astlib.decisions import Decision
from common import ROOT

LOGITS = 3 * torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
SCRIPT = ROOT / "book" / "_static" / "live.js"
HARNESS = """
globalThis.document = { currentScript: { src: "http://here/_static/live.js" }, addEventListener() {} };
const source = require("fs").readFileSync(process.argv[1], "utf8");
const end = source.lastIndexOf("})();");
eval(source.slice(0, end) + "globalThis.found = { isNone, softmax };" + source.slice(end));
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(given.logits.map((row) => {
  const logits = Float32Array.from(row);
  return [found.isNone(given.decision, logits), found.softmax(logits, given.decision.temperature)];
})));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
@pytest.mark.parametrize(
    "decision",
    [
        Decision(),
        Decision(temperature=2.5, none_score="max_logit", none_threshold=3.0),
        Decision(none_score="max_softmax", none_threshold=0.8),
        Decision(none_score="energy", none_threshold=4.0),
        Decision(none_score="background", none_threshold=0.5, none_weights=(1.0, -2.0, 0.5, 0.0, 1.5, -0.3)),
    ],
    ids=lambda decision: decision.none_score or "default",
)
def test_the_page_decides_as_python_does(decision):
    given = json.dumps({"decision": asdict(decision), "logits": LOGITS.tolist()})
    ran = subprocess.run(["node", "-e", HARNESS, str(SCRIPT)], input=given, capture_output=True, text=True, check=True)
    none, probabilities = zip(*json.loads(ran.stdout), strict=True)
    assert list(none) == decision.is_none(LOGITS).tolist()
    assert decision.none_score == "" or 0 < sum(none) < len(LOGITS), "the threshold divides these sounds"
    assert torch.allclose(torch.tensor(probabilities), decision.probabilities(LOGITS, multi_label=False), atol=1e-6)
