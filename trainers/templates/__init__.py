"""Chat templates: the tokenizer's own where it has one, else one of four that are published with their models.

Ours carry `{% generation %}` markers around what the assistant writes; what is saved with a trained model is the
published text without them, since only training libraries know them. A tokenizer's own template is never touched.
"""

from trainers.templates.choose import NAMES, Template, choose_template, template_source
from trainers.templates.load import load_tokenizer

__all__ = ["NAMES", "Template", "choose_template", "load_tokenizer", "template_source"]
