"""Any network, built from its configuration or opened from wherever it was saved.

Chapters: notebooks/13_cnns_beside_it.ipynb and notebooks/15_your_own_sounds.ipynb
"""

from pathlib import Path

from .cnn import CNN, CNNConfig
from .convert import from_huggingface, load_original
from .decisions import Decision
from .errors import NotFound
from .model import AST, ASTConfig
from .paths import weight_folders
from .saved import find_model, read_json_config
from .tagger import Tagger

Network = AST | CNN | Tagger  # what astlib can measure and predict with; it trains the first two


def build(cfg: ASTConfig | CNNConfig) -> Network:
    """Build the network of a configuration, with random weights.

    Args:
        cfg: the configuration.

    Returns:
        An AST, or one of the CNNs of `astlib.cnn`.

    Raises:
        MissingPackage: PSLA needs timm.
    """
    return AST(cfg) if isinstance(cfg, ASTConfig) else CNN.from_config(cfg)


def open_model(source: str | Path) -> Network:
    """Open a saved network of any kind.

    Args:
        source: a folder that `save_pretrained` wrote, that of a finished run, the name of a model that comes with
            astlib, a checkpoint of the original repository (`.pth`, also by its name in a folder of weights; see
            `astlib.convert.load_original`), or a Hugging Face folder or hub name.

    Returns:
        The network in eval mode, with float32 weights.

    Raises:
        NotFound: there is no such model; the message says where it was looked for.
        InvalidInput: a file is damaged, or it is a network that astlib does not know.
        MissingPackage: a package that this kind of network needs is not installed.
    """
    text = str(source)
    if text.endswith((".pth", ".pt", ".ckpt")):
        places = [Path(text), *(folder / text for folder in weight_folders())]
        return load_original(next((path for path in places if path.is_file()), Path(text)))
    try:
        folder = find_model(source)
    except NotFound:
        is_hub_name = "/" in text and not (Path(text).is_absolute() or text.startswith(".") or Path(text).exists())
        if not (is_hub_name or (Path(text) / "config.json").is_file()):
            raise
        folder = Path(text)
    if (folder / "config.json").is_file():
        config = read_json_config(folder)
        if "model_type" not in config:  # astlib's own; transformers writes its type there
            kind = Tagger if "tagger" in config else CNN if "network" in config else AST
            return kind.from_pretrained(folder)
        text = str(folder)
    try:
        network = from_huggingface(text)
    except OSError as error:
        raise NotFound(
            f"{text} is not a folder with a saved network, and the Hugging Face hub did not give it "
            f"({str(error).splitlines()[0]}). Download it elsewhere and give the folder"
        ) from error
    network.decision = Decision.load(text) or network.decision
    return network
