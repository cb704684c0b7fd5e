"""Reinforcement learning with execution feedback: PPO of our own, and TRL's RLOO and GRPO as control arms.

Pure cores (torch only): `gae`, `kl`, `objective`, `shaping`. The reward is the sandbox's verdict (`reward`), drawn
and executed by `rollout`; `ppo` reads top to bottom.
"""
