"""Search for adversarial examples, their verification, accuracy under noise, checks for masking."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attack_result": ["AttackResult", "closest_adversarials"],
        "evaluation": ["predict", "to_input"],
        "masking": ["masking_checks"],
        "minimal_distance": ["choose_samples", "search"],
        "noise": ["count_correct"],
        "verification": ["verify"],
        "attacks.as_foolbox": ["RegistryAttack", "foolbox_model"],
        "attacks.registry": ["attack_methods", "find_method"],
    },
)
