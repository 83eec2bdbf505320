"""The names that transformers 5.23 knows: model types, fields, activations, rotary embeddings.

The service does not have transformers. A test compares the names with transformers.
"""
# ruff: noqa: SIM905 - as lists they would be ten times as long

MODEL_TYPES = {
    "causal_lm": """
    afmoe apertus arcee aria_text axk1 axk2 bailing_hybrid bamba bart beam bert
    bert-generation big_bird bigbird_pegasus biogpt bitnet blenderbot blenderbot-small bloom
    blt camembert codegen cohere cohere2 cohere2_moe cohere_compass_text cpmant ctrl cwm
    data2vec-text dbrx deepseek_v2 deepseek_v3 deepseek_v32 deepseek_v4 diffllama doge dots1
    dots3_note dots3_note_text electra emu3 ernie ernie4_5 ernie4_5_moe exaone4 exaone_moe
    falcon falcon_h1 falcon_mamba flex_olmo flint fuyu gemma gemma2 gemma3 gemma3_text gemma3n
    gemma3n_text gemma4 gemma4_assistant gemma4_text gemma4_unified gemma4_unified_assistant
    gemma4_unified_text git glm glm4 glm4_moe glm4_moe_lite glm_moe_dsa got_ocr2 gpt-sw3 gpt2
    gpt_bigcode gpt_neo gpt_neox gpt_neox_japanese gpt_oss gptj granite granite_swa granitemoe
    granitemoe_swa granitemoehybrid granitemoeshared helium hrm_text hunyuan_v1_dense
    hunyuan_v1_moe hy_v3 hy_v4 hyperclovax inkling2_text inkling_text internlm3 iquestcoder
    jais2 jamba jetmoe kimi_linear kolibri1 laguna lfm2 lfm2_moe lfm3 llama llama4 llama4_text
    longcat_flash mamba mamba2 marian mbart megatron-bert mellum mimo_v2_flash minicpm3
    minimax minimax_m2 minimax_m3_vl_text ministral ministral3 mistral mixtral mllama
    modernbert-decoder moshi moss_transcribe_diarize mpt musicgen musicgen_melody mvp nanochat
    nemotron nemotron_h olmo olmo2 olmo3 olmo_hybrid olmoe openai-gpt opt pegasus persimmon
    phi phi3 phi4_multimodal phimoe plbart prophetnet qwen2 qwen2_moe qwen3 qwen3_5
    qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen3_moe qwen3_next qwen4_exp qwen4_exp_text
    recurrent_gemma reformer rembert roberta roberta-prelayernorm roc_bert roformer rwkv
    seed_oss smollm3 solar_open stablelm starcoder2 trocr vaultgemma whisper xglm xlm
    xlm-roberta xlm-roberta-xl xlnet xlstm xmod youtu zamba zamba2 zaya
    """.split(),
    "image_classification": """
    beit bit clip convnext convnextv2 cvt data2vec-vision deit dinat dinov2
    dinov2_with_registers donut-swin efficientnet focalnet hgnet_v2 hiera ijepa imagegpt levit
    metaclip_2 mobilenet_v1 mobilenet_v2 mobilevit mobilevitv2 perceiver poolformer pp_lcnet
    pvt pvt_v2 regnet resnet segformer shieldgemma2 siglip siglip2 swiftformer swin swinv2
    textnet timm_wrapper vit vit_msn
    """.split(),
}
# In these models each token sees the tokens after it, unless `is_decoder` is true.
BIDIRECTIONAL = frozenset(
    """
    bert bert-generation big_bird camembert data2vec-text electra ernie megatron-bert rembert
    roberta roberta-prelayernorm roc_bert roformer xlm-roberta xlm-roberta-xl xmod
    """.split()
)
# Fields of a config.json that are not fields of its class, and fields that were renamed.
BESIDE_FIELDS = frozenset(
    """
    _commit_hash _name_or_path auto_map bos_token_id decoder_start_token_id eos_token_id
    is_decoder model_type num_labels output_attentions pad_token_id pretraining_tp
    pruned_heads rope_scaling rope_theta rotary_emb_base rotary_pct sep_token_id
    task_specific_params tie_encoder_decoder tie_word_embeddings tokenizer_class torch_dtype
    torchscript use_bfloat16 use_cache
    """.split()
)
OF_ALL = frozenset(
    """
    architectures chunk_size_feed_forward dtype id2label is_encoder_decoder label2id
    output_hidden_states problem_type return_dict transformers_version
    """.split()
)
ACTIVATIONS = """
    gelu gelu_10 gelu_accurate gelu_fast gelu_new gelu_python gelu_python_tanh
    gelu_pytorch_tanh hardswish laplace leaky_relu linear mish prelu quick_gelu relu relu2 relu6
    sigmoid silu sqrtsoftplus swish tanh xielu
""".split()
# The types of rotary embeddings of `FAMILIES`, and the fields that each of them needs.
ROPE_TYPES = {
    "default": (),
    "dynamic": ("factor",),
    "linear": ("factor",),
    "llama3": ("factor", "high_freq_factor", "low_freq_factor"),
    "longrope": ("long_factor", "short_factor"),
    "proportional": (),
    "yarn": ("factor",),
}
FIELDS = {
    "llama": """
    attention_bias attention_dropout bos_token_id eos_token_id head_dim hidden_act hidden_size
    initializer_range intermediate_size max_position_embeddings mlp_bias num_attention_heads
    num_hidden_layers num_key_value_heads pad_token_id pretraining_tp rms_norm_eps
    rope_parameters tie_word_embeddings use_cache vocab_size
    """.split(),
    "mistral": """
    attention_dropout bos_token_id eos_token_id head_dim hidden_act hidden_size
    initializer_range intermediate_size max_position_embeddings num_attention_heads
    num_hidden_layers num_key_value_heads pad_token_id rms_norm_eps rope_parameters
    sliding_window tie_word_embeddings use_cache vocab_size
    """.split(),
    "qwen2": """
    attention_dropout bos_token_id eos_token_id hidden_act hidden_size initializer_range
    intermediate_size layer_types max_position_embeddings max_window_layers
    num_attention_heads num_hidden_layers num_key_value_heads pad_token_id rms_norm_eps
    rope_parameters sliding_window tie_word_embeddings use_cache use_sliding_window vocab_size
    """.split(),
    "gpt_neox": """
    attention_bias attention_dropout bos_token_id classifier_dropout eos_token_id hidden_act
    hidden_dropout hidden_size initializer_range intermediate_size is_decoder layer_norm_eps
    max_position_embeddings num_attention_heads num_hidden_layers pad_token_id rope_parameters
    tie_word_embeddings use_cache use_parallel_residual vocab_size
    """.split(),
    "gpt2": """
    activation_function add_cross_attention attn_pdrop bos_token_id embd_pdrop eos_token_id
    hidden_size initializer_range layer_norm_epsilon max_position_embeddings n_embd n_head
    n_inner n_layer n_positions num_attention_heads num_hidden_layers pad_token_id
    reorder_and_upcast_attn resid_pdrop scale_attn_by_inverse_layer_idx scale_attn_weights
    summary_activation summary_first_dropout summary_proj_to_labels summary_type
    summary_use_proj tie_word_embeddings use_cache vocab_size
    """.split(),
    "opt": """
    _remove_final_layer_norm activation_function attention_dropout bos_token_id
    do_layer_norm_before dropout enable_bias eos_token_id ffn_dim hidden_size init_std
    layer_norm_elementwise_affine layerdrop max_position_embeddings num_attention_heads
    num_hidden_layers pad_token_id tie_word_embeddings use_cache vocab_size
    word_embed_proj_dim
    """.split(),
    "bloom": """
    apply_residual_connection_post_layernorm attention_dropout bos_token_id eos_token_id
    hidden_dropout hidden_size initializer_range layer_norm_epsilon n_head n_layer
    num_attention_heads num_hidden_layers pad_token_id pretraining_tp slow_but_exact
    tie_word_embeddings use_cache vocab_size
    """.split(),
    "vit": """
    attention_probs_dropout_prob encoder_stride hidden_act hidden_dropout_prob hidden_size
    image_size initializer_range intermediate_size layer_norm_eps num_attention_heads
    num_channels num_hidden_layers patch_size pooler_act pooler_output_size qkv_bias
    """.split(),
}
