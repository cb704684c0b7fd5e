"""Reinforcement learning with execution feedback; `methods/ppo.py` and `methods/grpo.py` are the methods.

Formulas are pure torch (`objective`). The reward is the sandbox's verdict (`reward`) on answers that the policy
(`policy`) drew (`rollout`) for problems whose checks are split into paid and held out (`check_split`).
"""
